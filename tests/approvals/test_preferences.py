"""When somebody is told: at once, with the hour or the day, and not in quiet hours, by their own clock."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from approvals.preferences import EVENTS, By, Preferences, When, Wish

NIGHT = {"quiet_from": time(22), "quiet_until": time(7)}
NOON = {"quiet_from": time(12), "quiet_until": time(13, 30)}


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "quiet", "due"),
    [
        ("2026-03-10 21:59", NIGHT, None),
        ("2026-03-10 22:00", NIGHT, "2026-03-11 07:00"),
        ("2026-03-10 23:59", NIGHT, "2026-03-11 07:00"),
        ("2026-03-11 00:00", NIGHT, "2026-03-11 07:00"),
        ("2026-03-11 06:59", NIGHT, "2026-03-11 07:00"),
        ("2026-03-11 07:00", NIGHT, None),
        ("2026-03-10 11:59", NOON, None),
        ("2026-03-10 12:00", NOON, "2026-03-10 13:30"),
        ("2026-03-10 13:30", NOON, None),
        ("2026-03-10 12:00", {}, None),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Pacific/Apia"])
def test_in_quiet_hours_nothing_is_told_until_they_end(now, quiet, due, zone):
    wants = Preferences(time_zone=zone, **quiet)
    assert wants.due(When.AT_ONCE, at(now, zone)) == (due and at(due, zone))


@pytest.mark.parametrize(
    ("now", "quiet", "due"),
    [
        # The clock goes from 2 to 3 on 29 March: the night is an hour shorter, and ends at seven all the same.
        (at("2026-03-28 23:00", "Europe/Berlin"), NIGHT, "2026-03-29T05:00+00:00"),
        (at("2026-03-29 06:59", "Europe/Berlin"), NIGHT, "2026-03-29T05:00+00:00"),
        # And from 3 back to 2 on 25 October.
        (at("2026-10-24 23:00", "Europe/Berlin"), NIGHT, "2026-10-25T06:00+00:00"),
        # An end that the clock skips comes as much later as it skips.
        (at("2026-03-29 01:00", "Europe/Berlin"), {"quiet_from": time(0), "quiet_until": time(2, 30)},
         "2026-03-29T01:30+00:00"),
        # A beginning that it skips, too.
        (at("2026-03-29 03:10", "Europe/Berlin"), {"quiet_from": time(2, 30), "quiet_until": time(5)}, None),
        (at("2026-03-29 03:40", "Europe/Berlin"), {"quiet_from": time(2, 30), "quiet_until": time(5)},
         "2026-03-29T03:00+00:00"),
        # An end that it shows twice is the second of the two.
        (at("2026-10-25 02:10", "Europe/Berlin", 1), {"quiet_from": time(0), "quiet_until": time(2, 30)},
         "2026-10-25T01:30+00:00"),
        (at("2026-10-25 02:40", "Europe/Berlin", 0), {"quiet_from": time(0), "quiet_until": time(2, 30)},
         "2026-10-25T01:30+00:00"),
        (at("2026-10-25 02:40", "Europe/Berlin", 1), {"quiet_from": time(0), "quiet_until": time(2, 30)}, None),
        # A beginning that it shows twice is the first.
        (at("2026-10-25 02:40", "Europe/Berlin", 0), {"quiet_from": time(2, 30), "quiet_until": time(5)},
         "2026-10-25T04:00+00:00"),
    ],
)  # fmt: skip
def test_quiet_hours_are_those_of_the_clock_when_it_is_put_forward_or_back(now, quiet, due):
    wants = Preferences(time_zone="Europe/Berlin", **quiet)
    assert wants.due(When.AT_ONCE, now) == (due and datetime.fromisoformat(due))


@pytest.mark.parametrize(
    ("when", "now", "zone", "due"),
    [
        (When.HOURLY, "2026-03-10T09:00:00+00:00", "UTC", "2026-03-10T10:00:00+00:00"),
        (When.HOURLY, "2026-03-10T09:59:59.999+00:00", "UTC", "2026-03-10T10:00:00+00:00"),
        (When.HOURLY, "2026-03-10T09:10:00+00:00", "Asia/Kolkata", "2026-03-10T09:30:00+00:00"),
        (When.DAILY, "2026-03-10T07:59:00+00:00", "UTC", "2026-03-10T08:00:00+00:00"),
        (When.DAILY, "2026-03-10T08:00:00+00:00", "UTC", "2026-03-11T08:00:00+00:00"),
        (When.DAILY, "2026-03-28T12:00:00+00:00", "Europe/Berlin", "2026-03-29T06:00:00+00:00"),
        (When.DAILY, "2026-10-24T12:00:00+00:00", "Europe/Berlin", "2026-10-25T07:00:00+00:00"),
    ],
)
def test_a_period_ends_with_the_hour_or_at_the_time_of_the_day(when, now, zone, due):
    assert Preferences(time_zone=zone).due(when, datetime.fromisoformat(now)) == datetime.fromisoformat(due)


def test_a_period_that_ends_in_quiet_hours_is_told_when_they_end():
    early = Preferences(daily_at=time(5), **NIGHT)
    assert early.due(When.DAILY, at("2026-03-10 12:00")) == at("2026-03-11 07:00")
    assert Preferences(**NIGHT).due(When.HOURLY, at("2026-03-10 21:30")) == at("2026-03-11 07:00")


@pytest.mark.parametrize("when", list(When))
def test_what_is_urgent_is_told_at_once_where_the_person_allows_it(when):
    now = at("2026-03-10 23:00")
    assert Preferences(urgent_at_once=True, **NIGHT).due(when, now, urgent=True) is None
    assert Preferences(urgent_at_once=True, **NIGHT).due(when, now) == at("2026-03-11 07:00") or when == When.DAILY
    assert Preferences(**NIGHT).due(when, now, urgent=True) is not None


def test_each_hour_of_two_years_has_an_end_that_comes_soon_and_is_not_quiet():
    wants = Preferences(time_zone="Europe/Berlin", daily_at=time(2, 30), quiet_from=time(1), quiet_until=time(2, 45))
    moment = at("2026-01-01 00:15")
    for _ in range(2 * 365 * 24):
        for when, longest in ((When.HOURLY, 4), (When.DAILY, 27)):
            due = wants.due(when, moment)
            assert due is not None
            assert moment < due <= moment + timedelta(hours=longest)
            assert wants.due(When.AT_ONCE, due) is None
        moment += timedelta(hours=1)


def test_who_said_nothing_of_an_event_has_its_default():
    wants = Preferences(wishes={"approval.waiting": Wish(By.NOTHING)})
    assert wants.wish("approval.waiting").by == By.NOTHING
    assert {name for name in EVENTS if Preferences().wish(name).by == By.NOTHING} == {
        "approval.decided", "agent.message",
    }  # fmt: skip
