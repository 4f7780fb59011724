"""What the last day of runs was like: the figures of the admin's first page, each from a range of an index."""

import datetime
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Aggregate, Case, Count, DurationField, F, Max, Q, When
from django.db.models.functions import Now, TruncHour
from django.utils import timezone

from chat.models import ENDED, RunState
from chat.querysets import RunQuerySet
from core import ids

HOURS = 24
CODES_SHOWN = 8


class Percentile(Aggregate):
    """The value below which 95 of 100 lie."""

    template = "percentile_cont(0.95) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


class Median(Aggregate):
    """The value in the middle."""

    template = "percentile_cont(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


@dataclass(frozen=True, slots=True)
class Hour:
    """How the runs stand that began within an hour."""

    begins: datetime.datetime
    completed: int
    failed: int
    cancelled: int
    open: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.completed + self.failed + self.cancelled + self.open


@dataclass(frozen=True, slots=True)
class Figures:
    """One day of runs; times are None where there was nothing to measure."""

    states: dict[str, int]
    errors: list[tuple[str, int]]
    hours: list[Hour]
    oldest_ready: datetime.timedelta | None
    wait_median: datetime.timedelta | None
    wait_p95: datetime.timedelta | None
    answer_median: datetime.timedelta | None
    answer_p95: datetime.timedelta | None


def last_day(runs: RunQuerySet) -> Figures:
    """The figures of these runs; three queries."""
    now = timezone.now()
    begin = now.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=HOURS - 1)
    recent = runs.order_by().filter(pk__gte=ids.first_since(begin))
    groups = list(
        recent.annotate(hour=TruncHour("created_at")).values_list("hour", "state", "error_code").annotate(Count("pk"))
    )
    states: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    cells: Counter[tuple[datetime.datetime, str]] = Counter()
    for hour, state, code, count in groups:
        states[state] += count
        cells[hour, state] += count
        if state == RunState.FAILED:
            errors[code or "unknown"] += count
    hours = [_hour(begin + datetime.timedelta(hours=number), cells) for number in range(HOURS)]
    return Figures(
        states={state.label: states[state] for state in RunState},
        errors=errors.most_common(CODES_SHOWN),
        hours=hours,
        oldest_ready=_oldest_ready(runs),
        **_times(recent),
    )


def _hour(begins: datetime.datetime, cells: Counter[tuple[datetime.datetime, str]]) -> Hour:
    completed, failed, cancelled = (cells[begins, state] for state in ENDED)
    still = sum(cells[begins, state] for state in RunState if state not in ENDED)
    return Hour(begins, completed, failed, cancelled, still)


def _oldest_ready(runs: RunQuerySet) -> datetime.timedelta | None:
    """How long the run has waited that a worker should have taken first."""
    since = Case(When(state=RunState.RUNNING, then=F("lease_until")), default=F("not_before"))
    age: datetime.timedelta | None = runs.order_by().ready().aggregate(age=Max(Now() - since))["age"]
    return age


def _times(recent: Any) -> dict[str, datetime.timedelta | None]:
    """How long runs waited for a worker, and how long answers took from the message to their end.

    What a worker let go of before its end, as it does where people or a client are waited for, is no measure of
    answering.
    """
    wait, whole = F("started_at") - F("created_at"), F("ended_at") - F("created_at")
    times: dict[str, datetime.timedelta | None] = recent.filter(state=RunState.COMPLETED).aggregate(
        wait_median=Median(wait),
        wait_p95=Percentile(wait),
        answer_median=Median(whole, filter=Q(given_back=0)),
        answer_p95=Percentile(whole, filter=Q(given_back=0)),
    )
    return times
