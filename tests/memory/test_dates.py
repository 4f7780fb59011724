"""The days that a question names."""

from datetime import UTC, date, datetime

import pytest

from memory import dates

NOW = datetime(2024, 5, 15, 12, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("question", "fits", "does_not"),
    [
        ("on 3 May 2023", date(2023, 5, 3), date(2023, 5, 20)),
        ("on May 3rd, 2023", date(2023, 5, 4), date(2022, 5, 3)),
        ("on 2023-05-03", date(2023, 5, 3), date(2023, 4, 20)),
        ("am 3. Mai", date(2024, 5, 3), date(2024, 6, 3)),
        ("le 3 août 2023", date(2023, 8, 3), date(2023, 7, 3)),
        ("in June", date(2023, 6, 30), date(2023, 8, 1)),
        ("in May 2023", date(2023, 5, 31), date(2024, 5, 1)),
        ("in 2022", date(2022, 12, 31), date(2023, 1, 1)),
        ("yesterday", date(2024, 5, 14), date(2024, 5, 12)),
        ("two weeks ago", date(2024, 5, 1), date(2024, 4, 1)),
        ("last Friday", date(2024, 5, 10), date(2024, 5, 3)),
        ("this month", date(2024, 5, 1), date(2024, 4, 30)),
    ],
)
def test_a_day_that_is_named_fits_and_another_does_not(question, fits, does_not):
    days = dates.asked(question, NOW)
    assert dates.fit(days, fits) > 0
    assert dates.fit(days, does_not) == 0


def test_what_is_told_soon_after_a_day_fits_less():
    days = dates.asked("on 3 May 2024", NOW)
    assert dates.fit(days, date(2024, 5, 3)) > dates.fit(days, date(2024, 5, 10)) > 0


@pytest.mark.parametrize(
    "question", ["may I ask", "march on", "31 February 2023", "0000-00-00", "99.99.9999", "May 9999", "", "1" * 5000]
)
def test_what_names_no_day_asks_for_none(question):
    assert dates.fit(dates.asked(question, NOW), NOW.date()) == 0


@pytest.mark.parametrize(
    "question", ["on 9999-12-25", "valid until 31 December 9999", "in 9999", "on 0001-01-01", "in 0001"]
)
def test_a_day_at_the_end_of_time_is_asked_for_by_nobody(question):
    for one in dates.asked(question, NOW):
        assert one.last.year < 9999
