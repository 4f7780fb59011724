"""Answers that a person has not seen: of their own conversations, and what agents reported to them by themselves.

A conversation of a person's keeps where its unseen answers begin; sending a message there sets that, so that it costs
no statement of its own. What an agent said in the background has many readers, who each have marks. Both lists look at
the newest MOST conversations, so that their cost does not grow with what was ever said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core import signing
from django.db import connection, transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from accounts.models import Actor, Role
from agents.models import Agent
from agents.services.switches import UnknownAgent
from chat.models import Conversation
from chat.services.conversations import UnknownSession
from core.errors import Invalid

MOST = 1_000
"""What is counted and looked at: of 1,000 and more unread messages the count says 1,000."""
CURSOR = "inbox.cursor"

_OWN = """
SELECT id AS conversation_id, companion_id, team_id, agent_id, unread_from FROM chat_conversation
WHERE workspace_id = %(workspace)s AND user_id = %(user)s AND parent_id IS NULL AND unread_from IS NOT NULL
ORDER BY unread_from DESC LIMIT %(most)s"""
# The agents whose reports are for a reader: an agent reports to a person or a group, else to the managers. Who cannot
# sign in and a group of nobody who can read nothing.
_TELLING = """
SELECT agent.id FROM agents_agent AS agent
    LEFT JOIN (accounts_user AS person JOIN accounts_membership AS member ON member.user_id = person.id)
        ON person.email = agent.reports_to AND member.workspace_id = agent.workspace_id AND person.is_active
    LEFT JOIN accounts_group AS within
        ON within.name = agent.reports_to AND within.workspace_id = agent.workspace_id AND EXISTS (
            SELECT FROM accounts_group_members AS one
                JOIN accounts_user AS reader ON reader.id = one.user_id AND reader.is_active
                JOIN accounts_membership AS here
                    ON here.user_id = one.user_id AND here.workspace_id = agent.workspace_id
            WHERE one.group_id = within.id)
WHERE agent.workspace_id = %(workspace)s AND CASE
    WHEN person.id IS NOT NULL THEN person.id = %(user)s
    WHEN within.id IS NOT NULL THEN EXISTS (
        SELECT FROM accounts_group_members AS one WHERE one.group_id = within.id AND one.user_id = %(user)s)
    ELSE %(manages)s END"""
_REPORTS = f"""
SELECT id AS conversation_id, agent_id FROM chat_conversation
WHERE workspace_id = %(workspace)s AND user_id IS NULL AND parent_id IS NULL AND agent_id IN ({_TELLING})
    AND updated_at >= %(since)s
ORDER BY updated_at DESC, id DESC LIMIT %(most)s"""
_UNREAD = f"""
WITH own AS MATERIALIZED ({_OWN}), reports AS MATERIALIZED ({_REPORTS}),
unread AS (
    SELECT message.id, message.conversation_id, message.role, message.created_at, message.turn_at,
        coalesce(companion.agent_id, team.lead_id, own.agent_id) AS agent_id, companion.type AS companion,
        own.companion_id IS NULL AND own.team_id IS NULL AS direct, true AS mine
    FROM own
        JOIN chat_message AS message ON message.conversation_id = own.conversation_id
            AND message.turn_at >= own.unread_from AND message.role = 'assistant'
        LEFT JOIN companions_companion AS companion ON companion.id = own.companion_id
        LEFT JOIN agents_agentteam AS team ON team.id = own.team_id
    UNION ALL
    SELECT message.id, message.conversation_id, message.role, message.created_at, message.turn_at,
        reports.agent_id, NULL, true, false
    FROM reports
        JOIN chat_message AS message ON message.conversation_id = reports.conversation_id
            AND message.role = 'assistant' AND message.created_at >= %(since)s
        LEFT JOIN chat_readmark AS mark ON mark.conversation_id = reports.conversation_id AND mark.user_id = %(user)s
    WHERE mark.id IS NULL OR message.created_at > mark.read_up_to),
wanted AS MATERIALIZED (
    SELECT unread.*, agent.slug FROM unread JOIN agents_agent AS agent ON agent.id = unread.agent_id
    WHERE (%(agent)s::text IS NULL OR agent.slug = %(agent)s OR agent.id::text = %(agent)s)
        AND (unread.direct OR NOT %(direct)s))
"""
_LIST = f"""{_UNREAD}
SELECT page.id, page.conversation_id, page.slug, page.companion, page.role, message.content, page.created_at
FROM (
    SELECT * FROM wanted
    WHERE %(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s::timestamptz, %(after)s::uuid)
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s
) AS page JOIN chat_message AS message ON message.id = page.id
ORDER BY page.created_at DESC, page.id DESC
"""
_COUNT = f"{_UNREAD} SELECT count(*) FROM (SELECT FROM wanted LIMIT %(most)s) AS counted"
_CHOSEN = f"""{_UNREAD}
SELECT id, conversation_id, created_at, turn_at, mine FROM wanted
WHERE (%(messages)s::uuid[] IS NULL OR id = ANY(%(messages)s::uuid[]))
    AND (%(session)s::uuid IS NULL OR conversation_id = %(session)s::uuid)
"""
# A turn begins with its question, so that what comes after the turns that were seen begins with a message.
_SEEN = """
UPDATE chat_conversation AS conversation SET unread_from = (
    SELECT min(message.turn_at) FROM chat_message AS message
    WHERE message.conversation_id = conversation.id AND message.turn_at > seen.turn_at)
FROM unnest(%(conversations)s::uuid[], %(turns)s::timestamptz[]) AS seen(id, turn_at)
WHERE conversation.id = seen.id AND conversation.unread_from <= seen.turn_at
"""
_LOCK = "SELECT id FROM chat_conversation WHERE id = ANY(%(conversations)s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_MARK = """
INSERT INTO chat_readmark AS mark (conversation_id, user_id, read_up_to)
SELECT id, %(user)s, at FROM unnest(%(conversations)s::uuid[], %(times)s::timestamptz[]) AS seen(id, at)
WHERE EXISTS (SELECT FROM chat_conversation WHERE chat_conversation.id = seen.id) ORDER BY id
ON CONFLICT (conversation_id, user_id) DO UPDATE SET read_up_to = greatest(mark.read_up_to, excluded.read_up_to)
"""


@dataclass(frozen=True, slots=True)
class Unread:
    """An answer that its reader has not seen."""

    id: UUID
    session_id: UUID
    agent: str
    companion: str | None
    role: str
    content: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A page of unread answers, the newest first; `unread` counts all of them, up to MOST."""

    messages: list[Unread]
    unread: int
    next_cursor: str | None


def page(*, by: Actor, limit: int, agent: str | None = None, cursor: str | None = None, direct: bool = False) -> Page:
    """What the caller has not seen, of one agent by its slug or id or of all; raises Invalid for a bad cursor.

    `direct` leaves out what an agent said as a companion or for a team.
    """
    at, after = _read_cursor(cursor) if cursor is not None else (None, None)
    asked = {**_asked(by, agent, direct), "at": at, "after": after, "limit": limit + 1}
    with connection.cursor() as database:
        database.execute(_LIST, asked)
        rows = [Unread(*row) for row in database.fetchall()]
        database.execute(_COUNT, asked)
        (unread,) = database.fetchone()
    more, rows = len(rows) > limit, rows[:limit]
    last = rows[-1] if more else None
    return Page(rows, unread, signing.dumps([last.created_at.isoformat(), str(last.id)], salt=CURSOR) if last else None)


@transaction.atomic
def read(
    *,
    by: Actor,
    message_ids: Sequence[UUID] | None = None,
    session_id: UUID | None = None,
    agent: str | None = None,
    direct: bool = False,
) -> int:
    """Note that the caller saw these answers, those of a session or an agent, or all; gives how many were new to them.

    Who saw an answer saw those before it in its conversation. Messages that are not the caller's to see count as
    nothing. `direct` is as in `page`. Raises UnknownSession, UnknownAgent.
    """
    _check(by, session_id, agent)
    messages = list(message_ids) if message_ids is not None else None
    asked: dict[str, Any] = {**_asked(by, agent, direct), "messages": messages}
    with connection.cursor() as database:
        database.execute(_CHOSEN, {**asked, "session": session_id})
        conversations = sorted({row[1] for row in database.fetchall()})
        database.execute(_LOCK, {"conversations": conversations})
        everything: dict[str, Any] = {**asked, "messages": None, "session": None}
        database.execute(_CHOSEN, everything)  # as it is now that nobody else marks any of it
        unread = [row for row in database.fetchall() if row[1] in conversations]
        chosen = [row for row in unread if message_ids is None or row[0] in set(message_ids)]
        own = {row[1]: row[3] for row in sorted(chosen, key=lambda row: row[3]) if row[4]}
        reports = {row[1]: row[2] for row in sorted(chosen, key=lambda row: row[2]) if not row[4]}
        if own:
            database.execute(_SEEN, {"conversations": list(own), "turns": list(own.values())})
        if reports:
            marks: dict[str, Any] = {
                "user": by.user.pk,
                "conversations": list(reports),
                "times": list(reports.values()),
            }
            database.execute(_MARK, marks)
    return sum(
        row[3] <= own[row[1]] if row[4] else row[2] <= reports[row[1]] for row in unread if row[1] in {**own, **reports}
    )


def _check(by: Actor, session_id: UUID | None, agent: str | None) -> None:
    if session_id is not None:
        rows = Conversation.objects.filter(workspace=by.workspace, parent=None, pk=session_id)
        reported = Q(user=None, agent__in=_telling(by))
        if not rows.filter(Q(user=by.user) | reported).exists():
            raise UnknownSession(f"No session {session_id} is yours. GET /v1/ai/sessions lists them.")
    if agent is not None:
        named = Agent.objects.visible_to(by).annotate(text=Cast("pk", TextField()))
        if not named.filter(Q(slug=agent) | Q(text=agent)).exists():
            raise UnknownAgent(f"There is no agent {agent!r} in this workspace. GET /v1/ai/agents lists them.")


def _telling(by: Actor) -> list[UUID]:
    with connection.cursor() as database:
        database.execute(_TELLING, _asked(by, None))
        return [agent_id for (agent_id,) in database.fetchall()]


def _asked(by: Actor, agent: str | None, direct: bool = False) -> dict[str, Any]:
    return {
        "workspace": by.workspace.pk,
        "user": by.user.pk,
        "manages": by.may(Role.MANAGER),
        "since": by.membership.created_at,  # what agents reported before is not new to who came later
        "agent": agent,
        "direct": direct,
        "most": MOST,
    }


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, pk = signing.loads(cursor, salt=CURSOR)
    except (signing.BadSignature, ValueError):
        raise Invalid.field("cursor", "This must be the `next_cursor` of a page before.", "bad_cursor") from None
    return datetime.fromisoformat(at), UUID(pk)
