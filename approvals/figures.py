"""What the last days of approvals were like: the figures of the admin's first page, at a cost that has an end."""

import datetime
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Aggregate, Count, DurationField, F, Q
from django.db.models.functions import Now, TruncDay
from django.utils import timezone

from approvals.models import ApprovalStatus, Decision
from approvals.querysets import ApprovalQuerySet
from core import ids

DAYS = 14
MOST = 2_000  # requests that are looked at, the newest of the days
MOST_PENDING = 2_000
AGES = (
    ("under 5 min", datetime.timedelta(0), datetime.timedelta(minutes=5)),
    ("under 1 h", datetime.timedelta(minutes=5), datetime.timedelta(hours=1)),
    ("under 4 h", datetime.timedelta(hours=1), datetime.timedelta(hours=4)),
    ("under 24 h", datetime.timedelta(hours=4), datetime.timedelta(hours=24)),
    ("older", datetime.timedelta(hours=24), datetime.timedelta(days=36_500)),
)


class Quantile(Aggregate):
    """The value below which a part of all lie."""

    template = "percentile_cont(%(part)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


@dataclass(frozen=True, slots=True)
class Day:
    """The requests of a day: what came of them, and how long those that people decided took."""

    begins: datetime.datetime
    approved: int
    rejected: int
    expired: int
    cancelled: int
    superseded: int
    open: int
    median: datetime.timedelta | None
    p90: datetime.timedelta | None

    @property
    def total(self) -> int:
        """All of them."""
        return self.approved + self.rejected + self.expired + self.cancelled + self.superseded + self.open


@dataclass(frozen=True, slots=True)
class Figures:
    """The last days, the youngest last; `whole` is false where there were more requests than are looked at."""

    days: list[Day]
    ages: list[tuple[str, int]]
    whole: bool


def last_days(approvals: ApprovalQuerySet) -> Figures:
    """The figures of these requests; three queries."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    begin = today - datetime.timedelta(days=DAYS - 1)
    newest = approvals.filter(pk__gte=ids.first_since(begin)).order_by("-pk").values("pk")[:MOST]
    recent = approvals.filter(pk__in=newest).order_by().annotate(day=TruncDay("created_at"))
    counts: Counter[tuple[datetime.datetime, str]] = Counter()
    for day, status, many in recent.values_list("day", "status").annotate(Count("pk")):
        counts[day, status] += many
    by_people = recent.filter(decision__in=Decision.values).values("day")
    took = F("decided_at") - F("created_at")
    times = {
        row["day"]: (row["median"], row["p90"])
        for row in by_people.annotate(median=Quantile(took, part=0.5), p90=Quantile(took, part=0.9))
    }
    days = [_day(begin + datetime.timedelta(days=number), counts, times) for number in range(DAYS)]
    return Figures(days, _ages(approvals), counts.total() < MOST)


def _day(begins: datetime.datetime, counts: Counter[tuple[datetime.datetime, str]], times: dict[Any, Any]) -> Day:
    median, p90 = times.get(begins, (None, None))
    return Day(
        begins=begins,
        approved=counts[begins, ApprovalStatus.APPROVED],
        rejected=counts[begins, ApprovalStatus.REJECTED],
        expired=counts[begins, ApprovalStatus.EXPIRED],
        cancelled=counts[begins, ApprovalStatus.CANCELLED],
        superseded=counts[begins, ApprovalStatus.SUPERSEDED],
        open=counts[begins, ApprovalStatus.PENDING],
        median=median,
        p90=p90,
    )


def _ages(approvals: ApprovalQuerySet) -> list[tuple[str, int]]:
    """How many wait, by how long they have waited."""
    waiting = approvals.pending().order_by("-risk_rank", "expires_at", "id").values("pk")[:MOST_PENDING]
    counted = approvals.filter(pk__in=waiting).order_by()
    within = {
        f"age{place}": Count("pk", filter=Q(created_at__lte=Now() - low, created_at__gt=Now() - high))
        for place, (_, low, high) in enumerate(AGES)
    }
    found = counted.aggregate(**within)
    return [(name, found[f"age{place}"]) for place, (name, _, _) in enumerate(AGES)]
