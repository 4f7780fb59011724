"""Thoughts in tags at the beginning of an answer, alone."""

import random

import pytest

from agents.events import ReasoningDelta, TextDelta
from agents.providers.thinking import PAIRS, Opening


def told(*pieces):
    """The thoughts and the answer in these pieces, and whether the thoughts have no end."""
    opening = Opening()
    said = [one for piece in pieces for one in opening.feed(piece)] + opening.end()
    words = {kind: "".join(text for found, text in said if found is kind) for kind in (ReasoningDelta, TextDelta)}
    return words[ReasoningDelta], words[TextDelta], opening.unclosed


@pytest.mark.parametrize(("begins", "ends"), PAIRS.items())
@pytest.mark.parametrize("seed", range(5))
def test_thoughts_are_told_apart_wherever_they_are_cut(begins, ends, seed):
    chance = random.Random(seed)
    rest, pieces = f"\n {begins}\nIs it 4 < 5? </thin\n{ends}\n\nYes: {begins}no{ends} 🙂", []
    while rest:
        size = chance.randint(1, 4)
        pieces.append(rest[:size])
        rest = rest[size:]
    assert told(*pieces) == ("Is it 4 < 5? </thin\n", f"Yes: {begins}no{ends} 🙂", False)


@pytest.mark.parametrize(
    "answer",
    [
        "Hello <think>x</think>", "```\n<think>x</think>\n```", "<thin ice>", "<", "<th", "\n\n", "", "  code",
        "</think>x", "<think", "<Think>x</Think>", "\n" * 2000 + "<think>x</think>",
    ],
)  # fmt: skip
def test_what_does_not_begin_with_a_tag_is_the_answer_to_the_letter(answer):
    assert told(answer) == told(*answer) == ("", answer, False)


def test_an_empty_thought_is_none():
    assert told("<think>\n\n</think>\n\n", "Hi") == ("", "Hi", False)


@pytest.mark.parametrize("end", ["", "</", "</thin"])
def test_a_thought_without_an_end_stays_one(end):
    assert told("<think>Let me see", end) == (f"Let me see{end}", "", True)


def test_a_long_thought_is_not_held_back():
    opening = Opening()
    opening.feed("<think>x")
    assert all(opening.feed("y" * 10) == [(ReasoningDelta, "y" * 10)] for _ in range(100))
