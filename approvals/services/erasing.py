"""Forgetting a person: what the log tells of them goes, and that it told something, and what kind, stays provable."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from accounts.models import User
from approvals.emails import DIGEST
from approvals.models import Approval, Grant, HeldNotice, OutboxItem, SignInPlace, Vote
from approvals.services import audit, chain
from core import digest
from core.ledger import SYSTEM, Entry, Who

KEPT = "audit.erased"
"""What tells of erasures, which `verify` counts, names nobody but by id and is kept."""
_FIND = """
SELECT event.id FROM approvals_auditevent AS event JOIN approvals_auditpayload AS payload ON payload.event_id = event.id
WHERE event.workspace_id = %(workspace)s AND event.type <> %(kept)s AND ({which})"""
# Who owns the log deletes by themselves, who serves by the function that `roles` made for that.
_MAY_DELETE = "SELECT has_table_privilege('approvals_auditpayload', 'DELETE')"
_DELETE = "DELETE FROM approvals_auditpayload WHERE event_id = ANY(%s) RETURNING event_id"
_ERASE = "SELECT countersign_erase(%s)"
_NAMED = "position(%(email)s::text IN lower(payload.data)) > 0"  # such as the key that an admin made for them
_OF_PERSON = f"actor_id = %(person)s OR person_id = %(person)s OR target_id = %(person)s OR {_NAMED}"
_ABOUT = "target_id = ANY(%(targets)s)"
BLANK = {"forgotten": True}
_TEXT = Cast("payload", TextField())
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
    SignInPlace.objects.filter(user_id=person_id).delete()
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
    events = _delete(workspace_id, _OF_PERSON, person=person_id, email=email and email.lower())
    erased = Erased(workspace_id, events, _forget_notices(workspace_id, person_id, email))
    if events or erased.notices:
        _tell(workspace_id, events, erased.notices, by, ("person", person_id))
    return erased


def _delete(workspace_id: UUID, which: str, **parameters: Any) -> list[UUID]:
    """Delete the payloads of these events; gives the events."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND.format(which=which), {"workspace": workspace_id, "kept": KEPT, **parameters})
        found = [event_id for (event_id,) in cursor.fetchall()]
        cursor.execute(_MAY_DELETE)
        owns = cursor.fetchone()[0]
        if owns:
            cursor.execute("SET LOCAL countersign.erasing = 'on'")
        cursor.execute(_DELETE if owns else _ERASE, [found])
        events = sorted(event_id for (event_id,) in cursor.fetchall())
        if owns:
            cursor.execute("SET LOCAL countersign.erasing = 'off'")
    return events


def _tell(workspace_id: UUID, events: list[UUID], notices: int, by: Who, target: tuple[str, UUID] | None) -> None:
    named = digest.hexdigest([str(event_id) for event_id in events])
    told = {"events": len(events), "notices": notices, "events_digest": named}
    audit.record(Entry(type=KEPT, workspace_id=workspace_id, who=by, target=target, data=told))


def _empty_notices(workspace_id: UUID, about: Collection[UUID]) -> None:
    """Take the sentences out of what is, or was, told outside of these; that they were and how they ended stays."""
    names = [str(one) for one in about]
    named = Q(payload__approval_id__in=names) | Q(payload__action_id__in=names)
    rows = list(OutboxItem.objects.filter(named | Q(payload__about__has_any_keys=names), workspace_id=workspace_id))
    for row in rows:
        row.payload = _emptied(row.payload)
    OutboxItem.objects.bulk_update(rows, ["payload"], batch_size=500)
    HeldNotice.objects.filter(named, membership__workspace_id=workspace_id).delete()


def _emptied(payload: dict[str, Any]) -> dict[str, Any]:
    """A notice without its sentences; of several in one e-mail, each."""
    told: dict[str, Any] = {name: "" if name in NOTICED and value else value for name, value in payload.items()}
    if "notices" in told:
        told["notices"] = [{**one, "payload": _emptied(one["payload"])} for one in told["notices"]]
    return told


def _forget_notices(workspace_id: UUID, person_id: UUID, email: str | None) -> int:
    """Delete what is, or was, told to the person or names them; of several in one e-mail to others, those alone."""
    names = [str(person_id), *([email.lower()] if email else [])]
    naming = Q(text__contains=str(person_id))
    if email:
        naming |= Q(text__icontains=email)
    held = HeldNotice.objects.filter(membership__workspace_id=workspace_id).annotate(text=_TEXT)
    held.filter(Q(membership__user_id=person_id) | naming).delete()
    rows = OutboxItem.objects.filter(workspace_id=workspace_id).annotate(text=_TEXT)
    own = rows.filter(target__iexact=email).delete()[0] if email else 0
    digests = list(rows.filter(naming, type=DIGEST))
    for row in digests:
        row.payload = _without(row.payload, names)
    OutboxItem.objects.bulk_update([row for row in digests if row.payload], ["payload"], batch_size=500)
    return own + len([row for row in digests if row.payload]) + rows.filter(naming).delete()[0]


def _without(payload: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """What one e-mail tells, without what names the person; nothing where nothing is left."""
    told, waiting = payload["notices"], payload["waiting"]
    named = [any(name in json.dumps(one, ensure_ascii=False).lower() for name in names) for one in told]
    kept = [one for one, gone in zip(told, named, strict=True) if not gone]
    left = {**payload, "notices": kept, "waiting": waiting - sum(named[:waiting])}  # what waits stands first
    return left if kept or payload["more"] else {}
