"""Putting rows into the outbox, whatever they are for."""

from collections.abc import Sequence

from approvals.models import OutboxItem
from core import queue

DELIVER = "approvals.deliver"
WEBHOOK, EMAIL, CHANNEL = "webhook", "email", "channel"

_ring = queue.doorbell(DELIVER)


def post(rows: Sequence[OutboxItem]) -> None:
    """Store the rows with the transaction at hand, and ring once it is committed."""
    if rows:
        OutboxItem.objects.bulk_create(rows)
        _ring(rows[0].pk)
