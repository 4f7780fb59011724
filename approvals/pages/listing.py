"""What each list of the inbox has: bounded, the most urgent or the latest first."""

import datetime
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from accounts.models import Actor
from approvals import standing, waiting
from approvals.models import Approval, ApprovalStatus, Risk, Vote
from approvals.querysets import READERS, ApprovalQuerySet

MOST = 100
MOST_TOGETHER = 20
SOON = datetime.timedelta(minutes=15)


class Show(models.TextChoices):
    """The lists."""

    MINE = "mine", "To decide"
    ALL = "all", "All that wait"
    ASKED = "asked", "Asked by me"
    DECIDED = "decided", "Decided lately"


@dataclass(frozen=True, slots=True)
class Listed:
    """A list's rows; `more` says that there are others behind them."""

    rows: list[Any]
    more: bool


@dataclass(frozen=True, slots=True)
class Alike:
    """How many of the rows that wait for one's vote are of one tool, and can be decided together."""

    tool: str
    many: int


def lists(actor: Actor) -> list[Show]:
    """The lists that there are for this person."""
    return [show for show in Show if show != Show.ALL or actor.may(*READERS)]


def read(show: Show, actor: Actor, mine: Q) -> Listed:
    """The rows of a list; `mine` says which wait for the person's vote."""
    if show in (Show.MINE, Show.ALL):
        return _urgent(waiting.for_actor(actor, mine) if show == Show.MINE else _of(actor).pending(), mine, actor)
    if show == Show.ASKED:
        rows = list(_drawn(_of(actor).filter(requested_by=actor.user).order_by("-pk"), mine, actor)[: MOST + 1])
        return Listed(sorted(rows[:MOST], key=lambda row: row.status != ApprovalStatus.PENDING), len(rows) > MOST)
    rows = list(_drawn(_ended(actor).order_by("-decided_at", "-pk"), mine, actor)[: MOST + 1])
    return Listed(rows[:MOST], len(rows) > MOST)


def ids(texts: Iterable[str]) -> list[UUID]:
    """The ids among what an address or a form names, each once."""
    found: dict[UUID, None] = {}
    for text in texts:
        with suppress(ValueError):
            found[UUID(text)] = None
    return list(found)


def gone(actor: Actor, known: Sequence[UUID]) -> Any:
    """What became of rows that an open page still shows."""
    rows = Approval.objects.visible_to(actor).filter(pk__in=known).exclude(status=ApprovalStatus.PENDING)
    return standing.timed(
        rows.select_related("decided_by").only("pk", "status", "decided_by__name", "decided_by__email")
    )


def alike(rows: Sequence[Any]) -> list[Alike]:
    """The tools of which several wait; what cannot be taken back is decided one by one."""
    tools = Counter(row.tool for row in rows if row.mine and row.risk != Risk.DESTRUCTIVE)
    return [Alike(tool, many) for tool, many in tools.most_common() if many > 1]


def of_tool(actor: Actor, tool: str, ticked: Collection[UUID] = ()) -> list[Approval]:
    """What waits for one's vote of one tool and can be decided together: those ticked, then the most urgent."""
    rows = _together(waiting.for_actor(actor), tool)
    first = list(rows.filter(pk__in=ticked)[:MOST_TOGETHER])
    return [*first, *rows.exclude(pk__in=ticked)[: MOST_TOGETHER - len(first)]]


def ticked(actor: Actor, tool: str, chosen: Collection[UUID]) -> list[Approval]:
    """Those that somebody ticked of one tool, whatever has become of them since."""
    return list(_together(Approval.objects.visible_to(actor).filter(pk__in=chosen), tool))


def _together(rows: Any, tool: str) -> Any:
    """Those of a tool that are not to be decided one by one."""
    rows = rows.filter(tool=tool).exclude(risk=Risk.DESTRUCTIVE)
    return rows.named().select_related("workspace", "requested_by").most_urgent_first()


def _urgent(rows: Any, mine: Q, actor: Actor) -> Listed:
    """What ends within minutes, then the gravest, of them what ends soonest."""
    soon = Now() + SOON
    parts = (rows.filter(expires_at__lte=soon), rows.filter(expires_at__gt=soon))
    found = list(chain.from_iterable(_drawn(part.most_urgent_first(), mine, actor)[: MOST + 1] for part in parts))
    return Listed(found[:MOST], len(found) > MOST)


def _of(actor: Actor) -> ApprovalQuerySet:
    return Approval.objects.filter(workspace=actor.workspace)


def _ended(actor: Actor) -> Any:
    """What is over: of the workspace for who reads it, else what one has voted on."""
    rows = _of(actor).exclude(status=ApprovalStatus.PENDING)
    return (
        rows
        if actor.may(*READERS)
        else rows.filter(Exists(Vote.objects.filter(approval=OuterRef("pk"), user=actor.user)))
    )


def _drawn(rows: Any, mine: Q, actor: Actor) -> Any:
    rows = waiting.for_list(rows, mine, actor.user).select_related("decided_by")
    return rows.annotate(ago=models.ExpressionWrapper(Now() - F("decided_at"), models.DurationField()))
