"""Reading the audit log, page by page, at a cost that does not grow with it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.core import signing
from django.db.models import Q

from accounts.models import Actor, User
from approvals import directory
from approvals.models import AuditEvent
from core import ids
from core.errors import Invalid

SYSTEM = "system"
NOTHING = Q(pk__in=())  # what is unknown has no events
_SALT = "approvals.events"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)  # that an id can tell


@dataclass(frozen=True, slots=True)
class Page:
    """A page of events; `next_cursor` is None on the last one."""

    rows: list[AuditEvent]
    next_cursor: str | None


def page(
    *,
    by: Actor,
    limit: int,
    cursor: str | None = None,
    type: str | None = None,
    actor: str | None = None,
    agent: str | None = None,
    session_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page:
    """What the caller may see, newest first; raises Invalid for a cursor that is none of ours.

    `actor` is an id, a person's address, or `system`; `agent` an id or a slug.
    """
    wanted = _between(since, until)
    wanted &= Q(session_id=session_id) if session_id is not None else Q()
    wanted &= Q(type=type) if type is not None else Q()
    wanted &= _by(actor) if actor is not None else Q()
    wanted &= _of(by.workspace.pk, agent) if agent is not None else Q()
    rows = AuditEvent.objects.visible_to(by).named().filter(wanted)
    if cursor is not None:
        rows = rows.filter(pk__lt=_read_cursor(cursor))
    events = list(rows.select_related("payload", "seal").order_by("-pk")[: limit + 1])
    more, events = len(events) > limit, events[:limit]
    return Page(events, signing.dumps(str(events[-1].pk), salt=_SALT) if more else None)


def _by(actor: str) -> Q:
    if actor == SYSTEM:
        return Q(actor_id=None)
    found = _uuid(actor) or User.objects.filter(email=actor.lower()).values_list("pk", flat=True).first()
    return Q(actor_id=found) if found else NOTHING


def _of(workspace_id: UUID, agent: str) -> Q:
    found = _uuid(agent) or directory.agent_id(workspace_id, agent)
    return Q(agent_id=found) if found else NOTHING


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _between(since: datetime | None, until: datetime | None) -> Q:
    """Ids begin with the time of their event, to the millisecond, by the same clock: the index on them is enough."""
    found = Q()
    if since is not None:
        found &= Q(pk__gte=ids.first_since(min(max(since, _FIRST), _LAST)), at__gte=since)
    if until is not None:
        last = ids.first_since(min(max(until, _FIRST), _LAST) + timedelta(milliseconds=2))
        found &= Q(pk__lt=last, at__lte=until)
    return found


def _read_cursor(cursor: str) -> UUID:
    try:
        return UUID(signing.loads(cursor, salt=_SALT))
    except (signing.BadSignature, ValueError):
        raise Invalid.field("cursor", "This must be the `next_cursor` of a page before.", "bad_cursor") from None
