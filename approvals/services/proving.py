"""What can be handed to a stranger: a chain, or one event of it, checked without us; docs/audit.md says how."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from approvals.models import AuditEvent, AuditHead, AuditSeal
from approvals.services import audit, chain, heads
from core.errors import Conflict, NotFound
from core.ledger import Entry, Who

EXPORT, PROOF = "countersign.audit.export.1", "countersign.audit.proof.1"
ROWS = 2_000  # of an export, fetched at a time
HEADER = ("id", "workspace_id", "type", "actor_kind", "actor_id", "person_id", "agent_id", "session_id") + (
    "target_kind",
    "target_id",
)
_AFTER = f"""
SELECT {chain.FRAME} FROM approvals_auditseal AS seal JOIN approvals_auditevent AS event ON event.id = seal.event_id
WHERE seal.workspace_id = %s AND seal.seq > %s AND seal.seq <= %s ORDER BY seal.seq"""


class UnknownEvent(NotFound):
    """No event has this id."""

    code = "unknown_event"
    title = "There is no such event"


class NotSignedYet(Conflict):
    """Nothing that was signed covers the event."""

    code = "not_signed_yet"
    default_detail = "The event is not covered by a signed head yet; within a minute it is."


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an export: its JSON, and how many events it holds, one or none."""

    text: str
    events: int


def export(workspace_id: UUID, *, by: Who) -> Iterator[Line]:
    """A workspace's whole chain and its heads, as JSON lines; that it was taken is recorded first."""
    end = AuditSeal.objects.filter(workspace_id=workspace_id).order_by("-seq").values_list("seq", flat=True).first()
    last = end or 0
    with transaction.atomic():
        audit.record(Entry(type="audit.exported", workspace_id=workspace_id, who=by, data={"events": last}))
    return _lines(workspace_id, last)


def proof(event_id: UUID) -> dict[str, Any]:
    """An event, its place in the chain, and all between it and the next signed head.

    Of the events between only leaves are told, which say nothing of them. Raises UnknownEvent or NotSignedYet.
    """
    event = AuditEvent.objects.select_related("seal", "payload").filter(pk=event_id).first()
    if event is None:
        raise UnknownEvent(f"The log has no event {event_id}.")
    seal = getattr(event, "seal", None)
    heads_after = AuditHead.objects.filter(workspace_id=event.workspace_id).order_by("seq")
    head = heads_after.filter(seq__gte=seal.seq).first() if seal else None
    if seal is None or head is None:
        raise NotSignedYet
    before = AuditSeal.objects.filter(workspace_id=event.workspace_id, seq=seal.seq - 1).first()
    with connection.cursor() as cursor:
        cursor.execute(_AFTER, [event.workspace_id, seal.seq, head.seq])
        path = [chain.leaf(frame).hex() for (frame,) in cursor.fetchall()]
    return {
        "format": PROOF,
        **_told(event),
        "previous": bytes(before.hash if before else chain.START).hex(),
        "path": path,
        "head": heads.of_row(head).told(),
        "public_key": heads.public_key(),
    }


def _lines(workspace_id: UUID, last: int) -> Iterator[Line]:
    about = {"format": EXPORT, "workspace_id": str(workspace_id), "events": last, "public_key": heads.public_key()}
    yield _line(about)
    for first in range(1, last + 1, ROWS):
        places = (first, min(first + ROWS - 1, last))
        rows = AuditEvent.objects.filter(seal__workspace_id=workspace_id, seal__seq__range=places)
        for event in rows.select_related("seal", "payload").order_by("seal__seq"):
            yield _line(_told(event), events=1)
    for head in heads.stored(workspace_id):
        if head.seq <= last:
            yield _line({"head": head.told()})


def _line(told: dict[str, Any], events: int = 0) -> Line:
    return Line(json.dumps(told, ensure_ascii=False), events)


def _told(event: AuditEvent) -> dict[str, Any]:
    """An event with its place; of one whose payload was erased, salt and data are null."""
    payload = getattr(event, "payload", None)
    header: dict[str, Any] = {name: getattr(event, name) for name in HEADER}
    return {
        "seq": event.seal.seq,
        "event": {name: str(value) if isinstance(value, UUID) else value for name, value in header.items()}
        | {"at": heads.instant(event.at)},
        "commitment": bytes(event.commitment).hex(),
        "salt": bytes(payload.salt).hex() if payload else None,
        "data": payload.data if payload else None,
        "hash": bytes(event.seal.hash).hex(),
    }
