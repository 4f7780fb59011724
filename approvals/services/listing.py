"""Lists of requests, at a cost that does not grow with their number."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import Actor
from approvals.models import Approval, ApprovalStatus
from approvals.querysets import ApprovalQuerySet
from approvals.services import deciders

COUNTED = 1_000
"""How far a list is counted: an exact number of all would cost more the more there are."""
_HEAVY = ("arguments", "proposed_arguments", "terms", "response")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of requests; `total` is their number, or COUNTED where there are so many or more."""

    rows: list[Approval]
    total: int


def page(
    *,
    by: Actor,
    status: str = ApprovalStatus.PENDING,
    agent: str | None = None,
    tool: str | None = None,
    risk: str | None = None,
    session_id: UUID | None = None,
    limit: int = 20,
    offset: int = 0,
) -> Page:
    """What the caller may see: the pending ones most urgent first, all others newest first; status may be `all`."""
    wanted = {"agent": agent, "tool": tool, "risk": risk, "session_id": session_id}
    wanted["status"] = None if status == "all" else status
    equal = {name: value for name, value in wanted.items() if value is not None}
    parts = [part.filter(**equal) for part in Approval.objects.listed_for(by)]
    total = min(COUNTED, sum(part.order_by()[:COUNTED].count() for part in parts))
    pending = status == ApprovalStatus.PENDING
    shown = [_ordered(part, pending=pending) for part in parts]
    if len(shown) == 1:
        rows = list(shown[0][offset : offset + limit])
    else:
        rows = sorted((row for part in shown for row in part[: offset + limit]), key=_urgency if pending else _age)
        rows = rows[offset : offset + limit]
    deciders.gather(rows)
    return Page(rows, total)


def _ordered(rows: ApprovalQuerySet, *, pending: bool) -> ApprovalQuerySet:
    rows = rows.select_related("requested_by", "decided_by").defer(*_HEAVY)
    return rows.most_urgent_first() if pending else rows.order_by("-pk")


def _urgency(row: Approval) -> tuple[Any, ...]:
    return -row.risk_rank, row.expires_at, row.pk


def _age(row: Approval) -> int:
    return -row.pk.int
