"""Use cases of conversations: begin, rename, archive, delete, and read what was said."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Length

from accounts.models import Actor
from chat import eventlog
from chat.models import Conversation, Message, Run, RunState
from chat.services import families, ledger, loading, verdicts
from chat.services import forgetting as transcripts
from companions.models import Companion
from core import commits, ids, prepared
from core.errors import Forbidden, Invalid, NotFound
from memory.services import forgetting
from memory.services.entries import By

LONGEST_CLIENT_ID = 200


class NotYours(Forbidden):
    """The conversation is a colleague's."""

    code = "not_yours"
    default_detail = "This conversation is another person's."


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
    found = loading.one(Conversation.objects.visible_to(by).filter(pk=session_id), by=by)
    if found is None:
        raise UnknownSession(f"No session {session_id} is yours. GET /v1/ai/sessions lists them.")
    return found


_OF_CLIENT = """
SELECT id FROM chat_conversation
WHERE workspace_id = %(workspace)s AND user_id = %(user)s AND client_id = %(client_id)s AND client_id <> ''
UNION ALL
SELECT id FROM chat_conversation WHERE id = %(id)s
"""


def of_client(client_id: str, *, by: Actor) -> Conversation | None:
    """The caller's conversation that their client calls so, or whose id this is; None where there is none."""
    pk: UUID | None = None
    with contextlib.suppress(ValueError):
        pk = UUID(client_id)
    whose = {"workspace": by.workspace.pk, "user": by.user.pk, "client_id": client_id, "id": pk}
    named = [found for (found,) in prepared.execute(_OF_CLIENT, whose)]
    if not named:  # as for each that is to be begun
        return None
    rows = Conversation.objects.visible_to(by).filter(pk__in=named)
    # Two where one's id is what another is called: the id is the older name.
    found = min(rows, key=lambda row: row.client_id == client_id, default=None)
    return found and loading.whole(found, by=by)


def own(session_id: UUID, *, by: Actor) -> Conversation:
    """As `get`, for doors that tell a colleague's conversation from none: raises NotYours too."""
    try:
        return get(session_id, by=by)
    except UnknownSession:
        talks = Conversation.objects.filter(workspace=by.workspace, user__isnull=False, parent=None)
        if talks.filter(pk=session_id).exclude(user=by.user).exists():
            raise NotYours from None
        raise


def change(conversation: Conversation, *, title: str | None = None, archived: bool | None = None) -> Conversation:
    """Rename it, put it away or bring it back; what is None stays."""
    changes = {name: value for name, value in (("title", title), ("archived", archived)) if value is not None}
    if not Conversation.objects.filter(pk=conversation.pk).update(**changes):
        raise UnknownSession("The session was deleted meanwhile.")
    for name, value in changes.items():
        setattr(conversation, name, value)
    commits.after(eventlog.tell_changed, conversation.pk)
    return conversation


def delete(conversation: Conversation, *, by: Actor, forget: bool = False) -> None:
    """Remove it with its messages and runs; one under way is stopped once they are gone.

    What is remembered of it stays, unless it is to `forget`. Raises UnknownSession.
    """
    with transaction.atomic():
        if forget:
            forgetting.hold(by)
        locked = Conversation.objects.select_for_update(no_key=True).filter(pk=conversation.pk).first()
        if locked is None:
            raise UnknownSession("The session was deleted meanwhile.")
        let_go(under_way(locked), by=by, why="The session was deleted.")
        if forget:  # while it is known which of them are its
            transcripts.forget_actions(locked, by=By.person(by))
        locked.delete()
        commits.after(eventlog.tell_changed, conversation.pk)
        if forget:
            forgetting.forget_conversation(by, conversation.pk)


def under_way(locked: Conversation) -> list[Run]:
    """The runs of a locked conversation that have not ended, with those that work within them, all of them locked."""
    # What works within its runs has conversations below it, and goes first: a child's lock before its parent's.
    rows = Run.objects.filter(Q(conversation=locked) | Q(conversation__parent=locked), active=True)
    return list(rows.select_for_update(of=("self",)).order_by("-depth", "pk"))


def let_go(runs: Sequence[Run], *, by: Actor, why: str) -> None:
    """Account for locked runs whose rows are about to be deleted, withdraw what they asked, and stop who works."""
    for run in runs:
        ledger.record_unfinished(run)
        if run.state == RunState.RUNNING:  # its worker writes what it knows better, should it live
            commits.after(eventlog.ask_to_stop, run.pk)
            continue
        if run.waits:
            verdicts.withdraw(run, by=by)
    # Their rows go, and an action outlives its run: it must not be left to an agent that is not there.
    families.settle_calls([(run.pk, False, why, "deleted") for run in runs])


CURSOR = "sessions.cursor"
PAGE_CHARACTERS = 4_000_000
"""About what one page of messages holds; a page ends earlier rather than being larger."""


def messages(conversation: Conversation, *, limit: int, after: UUID | None = None) -> tuple[list[Message], bool]:
    """What was said, turn by turn: at most `limit` after the message the cursor names, and whether there is more."""
    rows = conversation.messages.order_by("turn_at", "created_at")
    if after is not None:
        last = rows.filter(pk=after).first()
        if last is None:
            raise Invalid.field("cursor", "names no message of this session")
        later = Q(turn_at=last.turn_at, created_at__gt=last.created_at)
        rows = rows.filter(Q(turn_at__gt=last.turn_at) | later)
    sizes = list(rows.values_list("pk", Length("content"))[: limit + 1])
    page: list[UUID] = []
    characters = 0
    for pk, size in sizes[:limit]:
        characters += size
        if page and characters > PAGE_CHARACTERS:
            break
        page.append(pk)
    return list(rows.filter(pk__in=page)), len(sizes) > len(page)


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
    archived: bool | None = None,
) -> Page:
    """The caller's conversations, most recent first; raises Invalid for a cursor that is none of ours.

    Where it is not said whether they are `archived`, they are not, but words are looked for in all titles.
    """
    rows = Conversation.objects.visible_to(by).filter(quoted=False).select_related("companion")
    if archived is not None or words is None:
        rows = rows.filter(archived=bool(archived))
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
    return Page(found, total, signing.dumps([last.updated_at.isoformat(), str(last.pk)], salt=CURSOR) if last else None)


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, pk = signing.loads(cursor, salt=CURSOR)
    except (signing.BadSignature, ValueError):
        raise Invalid.field("cursor", "This must be the `next_cursor` of a page before.", "bad_cursor") from None
    return datetime.fromisoformat(at), UUID(pk)
