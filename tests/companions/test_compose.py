"""What a companion is told about itself."""

from companions.services import compose


def test_the_prompt_says_who_how_and_what_for():
    assert compose("Hestia", "Calm.", "friendly", "You help people run their home.") == (
        "You are Hestia.\n\nCalm.\n\nTone: friendly\n\nYou help people run their home."
    )


def test_empty_parts_leave_nothing_behind():
    assert compose("Hestia", "", "  ", "") == "You are Hestia."
    assert compose("", "", "", "") == ""
