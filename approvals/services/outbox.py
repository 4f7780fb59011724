"""The outbox: what is to be told outside is a row of the transaction that it tells of; a worker delivers it later.

A row is claimed for a while, sent, and settled. A worker that dies between the last two leaves it to be sent once
more, so that everything arrives at least once, always under the same id.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from approvals.models import OutboxItem
from approvals.services import channels, notices, posting, webhooks
from approvals.services.notices import Audience
from approvals.services.posting import CHANNEL, DELIVER, EMAIL, WEBHOOK
from core import queue

__all__ = [
    "CHANNEL", "DELIVER", "EMAIL", "WEBHOOK", "Audience", "Delivery", "Outcome", "claim", "prune", "put", "settle",
]  # fmt: skip

LEASE = timedelta(minutes=2)  # longer than any delivery takes
KEPT = timedelta(days=30)
# Seconds before each further attempt, as Standard Webhooks proposes them: ten attempts within about three days.
DELAYS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
PRUNED_AT_ONCE = 5_000

_OPEN = Q(done_at=None, failed_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A claimed row: what to send where, and which attempt this is. `url` is empty where nobody wants it any more.

    `kind` is that of a channel; `set_at` says when the address was set that it was claimed with.
    """

    id: UUID
    workspace_id: UUID
    topic: str
    type: str
    target: str
    payload: dict[str, Any]
    created_at: datetime
    attempt: int
    url: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    channel_id: UUID | None = None
    kind: str = ""
    set_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an attempt; `final` is a failure that no repetition mends, `gone` one that ends the endpoint.

    An `error` of one that is ok says why nobody was reached nevertheless.
    """

    ok: bool
    status_code: int | None = None
    error: str = ""
    retry_after: float = 0.0
    final: bool = False
    gone: bool = False


def put(workspace_id: UUID, type: str, *payloads: dict[str, Any], to: Sequence[Audience] = ()) -> None:
    """Store what is to be told with the transaction at hand, and ring once it is committed.

    Each payload goes to the workspace's webhook and channels, where they want events of the type, and to these people,
    as they prefer. Raises where there is no transaction.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("what is told outside belongs into the change that it tells of")
    rows: list[OutboxItem] = []
    hooked = bool(payloads) and webhooks.wanted(workspace_id, type)
    for payload in payloads:
        rows += notices.rows(workspace_id, type, payload, to) + channels.rows(workspace_id, type, payload)
        if hooked:
            rows.append(OutboxItem(workspace_id=workspace_id, topic=WEBHOOK, type=type, payload=payload))
    posting.post(rows)


def claim(limit: int) -> list[Delivery]:
    """Take rows that are due, the oldest first; others may do so at the same time.

    The doorbell is answered before, so that what is committed meanwhile rings anew.
    """
    queue.answered(DELIVER)
    with transaction.atomic():
        webhook = "workspace__webhook"
        free = Q(claimed_until=None) | Q(claimed_until__lte=Now())
        rows = list(
            OutboxItem.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related(webhook, "channel")
            .filter(_OPEN, free, ~Q(topic=WEBHOOK) | _rested(webhook), _rested("channel"), not_before__lte=Now())
            .order_by("not_before")[:limit]
        )
        OutboxItem.objects.filter(pk__in=[row.pk for row in rows]).update(
            attempts=F("attempts") + 1, claimed_until=Now() + LEASE
        )
    return [_delivery(row) for row in rows]


def settle(delivery: Delivery, outcome: Outcome) -> None:
    """Store what became of an attempt, unless another has begun meanwhile: then that one says how it ends."""
    delay = None if outcome.ok else _delay(delivery.attempt, outcome)
    told = {"status_code": outcome.status_code, "error": outcome.error, "claimed_until": None}
    with transaction.atomic():
        row = OutboxItem.objects.filter(_OPEN, pk=delivery.id, attempts=delivery.attempt)
        if outcome.ok:
            row.update(done_at=Now(), **told)
        elif delay is None:
            row.update(failed_at=Now(), **told)
        else:
            row.update(not_before=Now() + delay, **told)
        how: Any = {"ok": outcome.ok, "gone": outcome.gone, "delay": delay, "set_at": delivery.set_at}
        if delivery.url and delivery.channel_id:
            channels.note(delivery.channel_id, delivery.workspace_id, **how)
        elif delivery.url:
            webhooks.note(delivery.workspace_id, **how)


def prune() -> int:
    """Drop some of what was settled long ago; returns how many rows went, 0 once none are left."""
    old = OutboxItem.objects.exclude(_OPEN).filter(created_at__lt=Now() - KEPT)
    gone, _ = OutboxItem.objects.filter(pk__in=old.values("pk")[:PRUNED_AT_ONCE]).delete()
    return gone


def _rested(endpoint: str) -> Q:
    """Whether the address that this path leads to is not left alone just now."""
    return Q(**{f"{endpoint}__paused_until": None}) | Q(**{f"{endpoint}__paused_until__lte": Now()})


def _delivery(row: OutboxItem) -> Delivery:
    endpoint: Any = getattr(row.workspace, "webhook", None) if row.topic == WEBHOOK else row.channel
    live = endpoint if endpoint is not None and endpoint.enabled else None
    return Delivery(
        id=row.pk,
        workspace_id=row.workspace_id,
        topic=row.topic,
        type=row.type,
        target=row.target,
        payload=row.payload,
        created_at=row.created_at,
        attempt=row.attempts + 1,
        url=live.url if live else "",
        secret=live.secret if live and row.topic == WEBHOOK else "",
        channel_id=row.channel_id,
        kind=live.kind if live and row.topic == CHANNEL else "",
        set_at=live.updated_at if live else None,
    )


def _delay(attempt: int, outcome: Outcome) -> timedelta | None:
    """How long to wait before the next attempt; None where there is none."""
    if outcome.final or attempt > len(DELAYS):
        return None
    planned = DELAYS[attempt - 1] * random.uniform(1, 1 + JITTER)
    return timedelta(seconds=max(planned, min(outcome.retry_after, DELAYS[-1])))
