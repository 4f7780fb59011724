"""What a person wants to be told, by which way and when: pure, with the moment as an argument.

Times of a day are those of the person's clock. Where that clock skips a time, what should happen then happens as much
later as it skips; where it shows one twice, quiet hours begin with the first of the two and end with the second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class By(StrEnum):
    """By which way somebody is told."""

    EMAIL = "email"
    NOTHING = "nothing"


class When(StrEnum):
    """When: as it happens, or with everything else of the hour or the day."""

    AT_ONCE = "at_once"
    HOURLY = "hourly"
    DAILY = "daily"


@dataclass(frozen=True, slots=True)
class Wish:
    """How one event is told."""

    by: By = By.EMAIL
    when: When = When.AT_ONCE


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people are told, and how, where they did not say."""

    says: str
    wish: Wish = Wish()


WAITING, PASSED_ON, ENDING = "approval.waiting", "approval.passed_on", "approval.ending"
DECIDED, EMERGENCY, UNKNOWN = "approval.decided", "approval.emergency", "action.unknown"
MESSAGE, KEY, SIGN_IN, SWITCHED_OFF = "agent.message", "security.key", "security.sign_in", "channel.switched_off"

EVENTS: Mapping[str, Event] = {
    WAITING: Event("A request waits for your decision."),
    PASSED_ON: Event("A request was passed on to you, because nobody decided in time."),
    ENDING: Event("A request that you have not decided ends soon."),
    DECIDED: Event("What was requested on your behalf was decided, or nobody did so.", Wish(By.NOTHING)),
    EMERGENCY: Event("Somebody decided alone, in an emergency, what you may decide."),
    UNKNOWN: Event("Nobody knows whether a call made on your behalf had its effect."),
    MESSAGE: Event("An agent wrote to you by itself.", Wish(By.NOTHING)),
    KEY: Event("Somebody made an API key that acts for you."),
    SIGN_IN: Event("Somebody signed in as you from a network that is new."),
    SWITCHED_OFF: Event("A channel or the webhook failed for so long that it was switched off; told to admins."),
}
WAITS = frozenset({WAITING, PASSED_ON, ENDING})
"""What is about a request that waits for the person: told no more once it was decided."""


@cache
def time_zones() -> tuple[str, ...]:
    """The names of clocks that a person may choose; the machine's own, and that of no place, are nobody's."""
    return tuple(sorted(available_timezones() - {"localtime", "Factory"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What one person wants."""

    wishes: Mapping[str, Wish] = field(default_factory=dict)
    time_zone: str = "UTC"
    daily_at: time = time(8)
    quiet_from: time | None = None
    quiet_until: time | None = None
    urgent_at_once: bool = False

    def wish(self, event: str) -> Wish:
        """How the event is told; raises KeyError for one that there is not."""
        return self.wishes.get(event) or EVENTS[event].wish

    def due(self, when: When, now: datetime, *, urgent: bool = False) -> datetime | None:
        """When something that happens now is told, in UTC; None: at once."""
        if urgent and self.urgent_at_once:
            return None
        moment = self.next(when, now)
        return self._quiet_end(moment or now) or moment

    def next(self, when: When, now: datetime) -> datetime | None:
        """When the period ends, whatever the quiet hours; None where there is none."""
        if when == When.AT_ONCE:
            return None
        here = now.astimezone(self._zone)
        if when == When.HOURLY:
            past = timedelta(minutes=here.minute, seconds=here.second, microseconds=here.microsecond)
            return now.astimezone(UTC) - past + HOUR
        days = (self._at(here.date() + DAY * ahead, self.daily_at) for ahead in range(3))
        return next(moment for moment in days if moment > now)

    def _quiet_end(self, moment: datetime) -> datetime | None:
        """When the quiet hours end that hold then; None where none do."""
        if self.quiet_from is None or self.quiet_until is None:
            return None
        today = moment.astimezone(self._zone).date()
        for day in (today - DAY, today):
            until = day if self.quiet_from < self.quiet_until else day + DAY
            end = max(self._at(until, self.quiet_until), self._at(until, self.quiet_until, fold=1))
            if self._at(day, self.quiet_from) <= moment < end:
                return end
        return None

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def _at(self, day: date, at: time, fold: int = 0) -> datetime:
        """The moment, in UTC, at which the person's clock shows this time on this day."""
        return datetime.combine(day, at.replace(fold=fold), self._zone).astimezone(UTC)
