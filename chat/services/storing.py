"""How a message and the run that answers it are stored: in one statement."""

import json
from typing import Any

from accounts.models import Actor
from approvals.services import audit
from chat.models import Conversation, Message, Run
from chat.services import traces
from companions.models import Layer
from core import prepared
from memory.models import Author
from memory.services import keeping
from memory.services.keeping import Told, Whose

_BEGIN = """WITH conversation AS (
    INSERT INTO chat_conversation (id, workspace_id, user_id, companion_id, agent_id, team_id, parent_id,
        title, client_id, channel, external, quoted, archived, last_seq, unread_from)
    VALUES (%(conversation)s, %(workspace)s, %(user)s, %(companion)s, %(background)s, %(with_team)s, %(above)s,
        %(title)s, %(client_id)s, %(channel)s, %(external)s, %(quoted)s, false, 0,
        CASE WHEN %(user)s::uuid IS NOT NULL AND %(above)s::uuid IS NULL AND NOT %(quoted)s::boolean
            THEN statement_timestamp() END)), """
# The conversation is locked before any of its runs, here as everywhere: the run's row comes from this one. Who answers
# has seen what was said before, and whoever goes on in a quoted conversation has it for a session.
_TURN = """WITH turn AS (
    UPDATE chat_conversation SET updated_at = statement_timestamp(), quoted = false,
        title = CASE title WHEN '' THEN %(title)s ELSE title END,
        unread_from = CASE WHEN user_id IS NULL OR external THEN unread_from ELSE statement_timestamp() END
    WHERE id = %(conversation)s RETURNING id), """
_STORE = """, message AS (
    INSERT INTO chat_message (id, workspace_id, conversation_id, role, content, parts, model, provider, metadata)
    VALUES (%(message)s, %(workspace)s, %(conversation)s, %(role)s, %(content)s, %(parts)s::jsonb, '', '',
        %(metadata)s::jsonb))
INSERT INTO chat_run (id, workspace_id, conversation_id, agent_id, behind_id, behind_ids, message_id, state, active,
    attempt, given_back, resumed, steps, seq_base, seq, draft, companion_type, mood, provider, model, worker,
    error_code, error_message, client_tools, team, given, web, agent_version)
SELECT %(run)s, %(workspace)s, %(conversation)s, %(agent)s, %(behind)s, %(behind_ids)s::uuid[], %(message)s, %(state)s,
    %(active)s, 0, 0, false, 0, 0, 0, '[]'::jsonb, %(companion_type)s, %(mood)s, %(provider)s, %(model)s, '', '', '',
    %(client_tools)s::jsonb, %(team)s::jsonb, %(given)s::jsonb, %(web)s,
    coalesce((SELECT version FROM agents_agent WHERE id = %(agent)s), 0)
"""


def store(conversation: Conversation, message: Message, run: Run, *, fresh: bool, turn: bool, by: Actor | None) -> bool:
    """Insert the message, its run and what the audit log says of it, and a fresh conversation, in one statement.

    One that is there already has its `turn` taken by it; False where it is gone. Raises IntegrityError where another
    run has the turn.

    Three `save()`s in a transaction took four times the CPU here and five round trips; every message comes this way.
    """
    traces.leave(run.pk)
    begun = audit.Entry(
        type="run.started",
        workspace_id=run.workspace_id,
        who=audit.person(by) if by else audit.agent(run.agent_id, run.person_id),
        target=("run", run.pk),
        agent_id=run.agent_id,
        session_id=conversation.pk,
        data={"companion": run.companion_type, "model": run.model, "provider": run.provider},
    )
    logged, told = audit.cte([begun])
    remembered, said = _remembered(conversation, message)
    begin, end = (_BEGIN, "") if fresh else (_TURN, "FROM turn") if turn else ("WITH ", "")
    stored = prepared.execute(
        begin + logged + remembered + _STORE + end,
        {
            **told,
            **said,
            "background": conversation.agent_id,
            "with_team": conversation.team_id,
            "above": conversation.parent_id,
            "conversation": conversation.pk,
            "workspace": conversation.workspace_id,
            "user": conversation.user_id,
            "companion": conversation.companion_id,
            "title": conversation.title,
            "client_id": conversation.client_id,
            "channel": conversation.channel,
            "external": conversation.external,
            "quoted": conversation.quoted,
            "message": message.pk,
            "role": message.role,
            "content": message.content,
            "parts": json.dumps(message.parts),
            "metadata": json.dumps(message.metadata),
            "run": run.pk,
            "agent": run.agent_id,
            "behind": run.behind_id,
            "behind_ids": run.behind_ids,
            "state": run.state,
            "active": run.active,
            "companion_type": run.companion_type,
            "mood": run.mood,
            "web": run.web,
            "provider": run.provider,
            "model": run.model,
            "client_tools": json.dumps(run.client_tools) if run.client_tools else None,
            "team": json.dumps(run.team) if run.team is not None else None,
            "given": json.dumps(run.given) if run.given is not None else None,
        },
    )
    return bool(stored.rowcount)


def _remembered(conversation: Conversation, message: Message) -> tuple[str, dict[str, Any]]:
    """What keeps the message as a memory of its person's, in the same statement; nothing where nobody speaks.

    What the companion keeps is looked at there; where it kept nothing when it was loaded, that is not even asked.
    """
    companion_id = conversation.remembering_id
    if conversation.user_id is None or companion_id is None or conversation.parent_id is not None:
        return "", {}
    if conversation.companion and Layer.HISTORY not in conversation.companion.memory_layers:
        return "", {}
    whose = Whose(conversation.workspace_id, conversation.user_id, companion_id)
    said = Told(conversation.pk, message.pk, Author.PERSON.value, message.content)
    statement, parameters = keeping.cte([(whose, said)])
    return ", " + statement, parameters
