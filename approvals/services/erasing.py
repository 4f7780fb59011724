"""Forgetting a person: what the log tells of them goes, and that it told something, and what kind, stays provable."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from accounts.models import User
from approvals.models import Approval, Grant, OutboxItem, Vote
from approvals.services import audit, chain
from core import digest
from core.ledger import SYSTEM, Entry, Who

KEPT = "audit.erased"
"""What tells of erasures, which `verify` counts, names nobody but by id and is kept."""
_ERASE = """
DELETE FROM approvals_auditpayload WHERE event_id IN (
    SELECT id FROM approvals_auditevent WHERE workspace_id = %(workspace)s AND type <> %(kept)s AND ({which}))
RETURNING event_id"""
_OF_PERSON = "actor_id = %(person)s OR person_id = %(person)s OR target_id = %(person)s"
_ABOUT = "target_id = ANY(%(targets)s)"
BLANK = {"forgotten": True}
NOTICED = ("summary", "reason")  # what a notice says of what was to be done, and of what came of it


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased of a person in one workspace: the events whose payloads are gone, and notices to be sent."""

    workspace_id: UUID
    events: list[UUID]
    notices: int


def erase(person_id: UUID, *, by: Who = SYSTEM) -> list[Erased]:
    """Delete the payloads of all that the person did, had done or had done to them, in every workspace.

    With them go what waits in the outbox, or was told from it, and names the person. Each workspace is one transaction,
    with the event that tells of it; to do it again finds nothing, and tells nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(chain.each("approvals_auditevent"))
        workspaces = [workspace_id for (workspace_id,) in cursor.fetchall()]
    email = User.objects.filter(pk=person_id).values_list("email", flat=True).first()
    done = [_erase_in(workspace_id, person_id, email, by) for workspace_id in workspaces]
    return [erased for erased in done if erased.events or erased.notices]


@transaction.atomic
def blank(subjects: Collection[UUID], *, workspace_id: UUID, by: Who = SYSTEM) -> None:
    """Take out of decided requests about these, and out of the log, what was to be done: their person had it forgotten.

    That something was asked and how it was decided stays, without the reasons. An approval of it is remembered no
    longer, and notices of it are empty, those that are yet to be sent too.
    """
    rows = Approval.objects.filter(workspace=workspace_id, subject_id__in=subjects).exclude(status="pending")
    approvals = list(rows.values_list("pk", flat=True))
    rows.update(arguments=BLANK, proposed_arguments=None, preview={}, response="", reason="")
    Vote.objects.filter(approval__in=approvals).update(reason="")
    _empty_notices(workspace_id, [*subjects, *approvals])
    Grant.objects.filter(approval__in=approvals).delete()
    if events := _delete(workspace_id, _ABOUT, targets=[*subjects, *approvals]):
        _tell(workspace_id, events, 0, by, None)


@transaction.atomic
def _erase_in(workspace_id: UUID, person_id: UUID, email: str | None, by: Who) -> Erased:
    events = _delete(workspace_id, _OF_PERSON, person=person_id)
    erased = Erased(workspace_id, events, _forget_notices(workspace_id, person_id, email))
    if events or erased.notices:
        _tell(workspace_id, events, erased.notices, by, ("person", person_id))
    return erased


def _delete(workspace_id: UUID, which: str, **parameters: Any) -> list[UUID]:
    """Delete the payloads of these events; gives the events."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL countersign.erasing = 'on'")
        cursor.execute(_ERASE.format(which=which), {"workspace": workspace_id, "kept": KEPT, **parameters})
        events = sorted(event_id for (event_id,) in cursor.fetchall())
        cursor.execute("SET LOCAL countersign.erasing = 'off'")
    return events


def _tell(workspace_id: UUID, events: list[UUID], notices: int, by: Who, target: tuple[str, UUID] | None) -> None:
    named = digest.hexdigest([str(event_id) for event_id in events])
    told = {"events": len(events), "notices": notices, "events_digest": named}
    audit.record(Entry(type=KEPT, workspace_id=workspace_id, who=by, target=target, data=told))


def _empty_notices(workspace_id: UUID, about: Collection[UUID]) -> None:
    """Take the sentences out of what is, or was, told outside of these; that they were and how they ended stays."""
    named = Q(payload__approval_id__in=[str(one) for one in about])
    named |= Q(payload__action_id__in=[str(one) for one in about])
    rows = list(OutboxItem.objects.filter(named, workspace_id=workspace_id))
    for row in rows:
        row.payload = {name: "" if name in NOTICED and value else value for name, value in row.payload.items()}
    OutboxItem.objects.bulk_update(rows, ["payload"], batch_size=500)


def _forget_notices(workspace_id: UUID, person_id: UUID, email: str | None) -> int:
    rows = OutboxItem.objects.filter(workspace_id=workspace_id).annotate(text=Cast("payload", TextField()))
    naming = Q(text__contains=str(person_id))
    if email:
        naming |= Q(target__iexact=email) | Q(text__icontains=email)
    return rows.filter(naming).delete()[0]
