"""Use cases of conversations: begin, rename, archive, delete, and read what was said."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import Q

from accounts.models import Actor
from chat.models import Conversation, Message
from chat.services import runs
from companions.models import Companion
from core import ids
from core.errors import Invalid, NotFound


class UnknownSession(NotFound):
    """No conversation of the caller's has this id."""

    code = "unknown_session"
    title = "There is no such session"


def new(companion: Companion, *, by: Actor, title: str = "") -> Conversation:
    """A conversation that is not stored yet; `runs.start` or `create` stores it."""
    return Conversation(
        id=ids.new(),
        workspace=by.workspace,
        user=by.user,
        companion=companion,
        title=title[: settings.TITLE_LIMIT],
    )


def create(companion: Companion, *, by: Actor, title: str = "") -> Conversation:
    """A stored conversation with nothing said in it yet."""
    conversation = new(companion, by=by, title=title)
    conversation.save(force_insert=True)
    conversation.refresh_from_db(fields=["created_at", "updated_at"])
    return conversation


def get(session_id: UUID, *, by: Actor) -> Conversation:
    """The caller's conversation; raises UnknownSession."""
    found: Conversation | None = (
        Conversation.objects.visible_to(by)
        .select_related("companion__agent", "workspace")
        .filter(pk=session_id)
        .first()
    )
    if found is None:
        raise UnknownSession(f"No session {session_id} is yours. GET /v1/ai/sessions lists them.")
    return found


def change(conversation: Conversation, *, title: str | None = None, archived: bool | None = None) -> Conversation:
    """Rename it, put it away or bring it back; what is None stays."""
    if title is not None:
        conversation.title = title
    if archived is not None:
        conversation.archived = archived
    conversation.save(update_fields=["title", "archived"])
    return conversation


def delete(conversation: Conversation, *, by: Actor) -> None:
    """Remove it with its messages and runs; a run under way is stopped first."""
    active = conversation.runs.filter(active=True).first()
    if active is not None:
        runs.cancel(active, by=by)
    with transaction.atomic():
        conversation.delete()


def messages(conversation: Conversation, *, limit: int, after: UUID | None = None) -> list[Message]:
    """What was said, oldest first, at most `limit`, after the message that the cursor names."""
    rows = conversation.messages.order_by("id")
    if after is not None:
        if not rows.filter(pk=after).exists():
            raise Invalid.field("cursor", "names no message of this session")
        rows = rows.filter(pk__gt=after)
    return list(rows[:limit])


@dataclass(frozen=True, slots=True)
class Page:
    """A page of conversations; `next_cursor` is None on the last one."""

    rows: list[Conversation]
    total: int
    next_cursor: str | None


def page(
    *,
    by: Actor,
    limit: int,
    offset: int = 0,
    cursor: str | None = None,
    companion: str | None = None,
    words: str | None = None,
    archived: bool = False,
) -> Page:
    """The caller's conversations, most recent first; raises Invalid for a cursor that is none of ours."""
    rows = Conversation.objects.visible_to(by).filter(archived=archived).select_related("companion")
    if companion is not None:
        rows = rows.filter(companion__type=companion)
    if words is not None:
        rows = rows.filter(title__icontains=words)
    total = rows.count()
    rows = rows.order_by("-updated_at", "-id")
    if cursor is not None:
        at, pk = _read_cursor(cursor)
        rows = rows.filter(Q(updated_at__lt=at) | Q(updated_at=at, pk__lt=pk))
    found = list(rows[offset : offset + limit + 1])
    more, found = len(found) > limit, found[:limit]
    last = found[-1] if more else None
    return Page(found, total, signing.dumps([last.updated_at.isoformat(), str(last.pk)]) if last else None)


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, pk = signing.loads(cursor)
    except (signing.BadSignature, ValueError):
        raise Invalid.field("cursor", "This must be the `next_cursor` of a page before.", "bad_cursor") from None
    return datetime.fromisoformat(at), UUID(pk)
