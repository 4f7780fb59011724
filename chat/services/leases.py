"""Use cases of runs as workers see them: claim, checkpoint, finish, release, bury.

Each takes or gives many runs at once, in one statement where it can, because a worker answers hundreds at a time.
Every change is compare-and-set on the attempt: a worker that slept past its lease changes nothing. All times are
the database's.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from agents.providers.base import ChatMessage
from approvals.services import audit
from chat import transcript
from chat.bells import ring_run
from chat.models import MessageRole, Run, RunState
from chat.services import runs
from chat.transcript import Part
from companions import services as companions
from core import ids


@dataclass(frozen=True, slots=True)
class Claim:
    """A run in this worker's hands, with all that answering it needs. Events are numbered above `seq`.

    `parts` is what it said and did before, `steps` how often its model was asked for that; a run that `resumed` goes on
    with its readers where it stopped.
    """

    run_id: UUID
    conversation_id: UUID
    workspace_id: UUID
    user_id: UUID | None
    attempt: int
    seq: int
    companion: str
    provider: str
    model: str
    system: str
    messages: tuple[ChatMessage, ...]
    cancelled: bool
    resumed: bool = False
    steps: int = 0
    parts: tuple[Part, ...] = ()
    usage: dict[str, Any] | None = None
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The answer so far, and the number of the last event that it covers."""

    run_id: UUID
    attempt: int
    seq: int
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `seq` is the number of its terminal event."""

    run_id: UUID
    conversation_id: UUID
    workspace_id: UUID
    attempt: int
    seq: int
    state: RunState
    parts: Sequence[Part]
    provider: str
    model: str
    usage: dict[str, int | float | None] | None = None
    error_code: str = ""
    error_message: str = ""
    message_id: UUID = field(default_factory=ids.new)

    @property
    def text(self) -> str:
        """The answer's text."""
        return transcript.text(self.parts)


# The two ways to be ready have an index each; one statement with OR would use neither.
_QUEUED = "state = 'queued' AND active AND not_before <= clock_timestamp()"
_LAPSED = "state = 'running' AND lease_until < clock_timestamp() AND attempt - given_back < %(attempts)s"
_CLAIM = """
WITH ready AS (
    SELECT id, conversation_id, agent_id, message_id, resumed FROM chat_run
    WHERE {ready} AND id <> ALL(%(held)s){unless}
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE chat_run AS run SET
    state = 'running', attempt = run.attempt + 1, worker = %(worker)s, resumed = false,
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
    started_at = coalesce(run.started_at, now()),
    seq_base = CASE WHEN run.attempt = 0 THEN conversation.last_seq ELSE run.seq_base END
FROM ready
    JOIN chat_conversation AS conversation ON conversation.id = ready.conversation_id
    JOIN agents_agent AS agent ON agent.id = ready.agent_id
    JOIN chat_message AS message ON message.id = ready.message_id
    LEFT JOIN companions_companion AS companion ON companion.id = conversation.companion_id
WHERE run.id = ready.id
RETURNING run.id, run.conversation_id, run.workspace_id, run.attempt, run.seq_base, run.companion_type, run.provider,
    run.model, run.cancel_requested_at IS NOT NULL, message.content,
    conversation.user_id, coalesce(companion.name, agent.name), coalesce(companion.personality, ''),
    coalesce(companion.tone, ''), agent.instructions,
    ready.resumed, run.seq, run.steps, run.draft, run.usage, agent.tools, companion.tools_allowed
"""


_UNLESS = """
    AND NOT EXISTS (SELECT FROM chat_conversation AS theirs
        WHERE theirs.id = chat_run.conversation_id AND theirs.user_id = ANY(%(sated)s))"""


def claim(
    worker: str, *, limit: int, held: Iterable[UUID] = (), sated: Collection[UUID] = (), lapsed: bool = False
) -> list[Claim]:
    """Take up to `limit` runs that are ready, or whose worker's lease lapsed.

    Passed over are those already `held` here, and those of `sated` people, who have their share of this worker.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM.format(ready=_LAPSED if lapsed else _QUEUED, unless=_UNLESS if sated else ""),
            {
                "limit": limit,
                "worker": worker,
                "held": list(held),
                "sated": list(sated),
                "lease": settings.RUN_LEASE_SECONDS,
                "attempts": settings.RUN_MAX_ATTEMPTS,
            },
        )
        claimed = cursor.fetchall()
    # A conversation in which nothing was numbered yet has no history: the common case of a first message.
    said = _said([row[0] for row in claimed if row[4] > 0 or row[3] > 1])
    return [_claim(row, said.get(row[0], [])) for row in claimed]


def _claim(row: tuple[Any, ...], said: list[ChatMessage]) -> Claim:
    run_id, conversation_id, workspace_id, attempt, seq_base, companion, provider, model, cancelled, text = row[:10]
    resumed, seq, steps, draft, usage, tools, allowed = row[15:]
    parts = transcript.durable(json.loads(draft)) if steps else []
    names = json.loads(tools)
    if allowed is not None and (only := json.loads(allowed)):
        names = [name for name in names if name in only]
    return Claim(
        run_id=run_id,
        conversation_id=conversation_id,
        workspace_id=workspace_id,
        attempt=attempt,
        seq=seq if resumed else seq_base + (attempt - 1) * Run.ATTEMPT_SEQS,
        companion=companion,
        provider=provider,
        model=model,
        user_id=row[10],
        system=companions.compose(*row[11:15]),
        messages=(*said, ChatMessage(role=MessageRole.USER.value, content=text)),
        cancelled=cancelled,
        resumed=resumed,
        steps=steps,
        parts=tuple(parts),
        usage=json.loads(usage) if usage else None,
        tools=tuple(names),
    )


_SAID = """
SELECT run.id, said.role, said.content, said.parts
FROM chat_run AS run
CROSS JOIN LATERAL (
    SELECT message.turn_at, message.created_at, message.role, message.content,
        CASE WHEN message.parts @? '$[*] ? (@.type == "tool_call")' THEN message.parts END AS parts,
        sum(length(message.content)) OVER (ORDER BY message.turn_at DESC, message.created_at DESC) AS characters
    FROM chat_message AS message
    WHERE message.conversation_id = run.conversation_id AND message.id <> run.message_id
      AND NOT EXISTS (
        SELECT FROM chat_run AS waiting WHERE waiting.message_id = message.id AND waiting.state = 'queued')
    ORDER BY message.turn_at DESC, message.created_at DESC LIMIT %(limit)s) AS said
WHERE run.id = ANY(%(runs)s) AND said.characters <= %(characters)s ORDER BY run.id, said.turn_at, said.created_at
"""


def _said(claimed: list[UUID]) -> dict[UUID, list[ChatMessage]]:
    """What was said before, by run, without the messages that wait for their own turn."""
    said: dict[UUID, list[ChatMessage]] = {}
    if claimed:
        with connection.cursor() as cursor:
            limits = {"limit": settings.HISTORY_MESSAGES, "characters": settings.HISTORY_CHARACTERS}
            cursor.execute(_SAID, {"runs": claimed, **limits})
            for run_id, role, content, parts in cursor.fetchall():
                told = transcript.told(json.loads(parts)) if parts else [ChatMessage(role=role, content=content)]
                said.setdefault(run_id, []).extend(told)
    return said


# A checkpoint may come after a step that was stored meanwhile: what covers less changes no draft.
_CHECKPOINT = """
UPDATE chat_run AS run SET seq = greatest(run.seq, new.seq),
    draft = CASE WHEN new.seq >= run.seq THEN new.draft::jsonb ELSE run.draft END,
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
FROM unnest(%(runs)s::uuid[], %(attempts)s::int[], %(seqs)s::bigint[], %(drafts)s::text[])
    AS new(id, attempt, seq, draft)
WHERE run.id = new.id AND run.attempt = new.attempt AND run.state = 'running'
RETURNING run.id, run.cancel_requested_at IS NOT NULL
"""


def checkpoint(points: Sequence[Checkpoint]) -> dict[UUID, bool]:
    """Store the drafts and renew the leases; gives those still held, each with whether it has been asked to stop."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CHECKPOINT,
            {
                "lease": settings.RUN_LEASE_SECONDS,
                "runs": [point.run_id for point in points],
                "attempts": [point.attempt for point in points],
                "seqs": [point.seq for point in points],
                "drafts": [json.dumps(point.parts) for point in points],
            },
        )
        return dict(cursor.fetchall())


_CONVERSATIONS = """
UPDATE chat_conversation AS conversation
SET last_seq = greatest(conversation.last_seq, new.seq), updated_at = clock_timestamp()
FROM (
    SELECT id, max(seq) AS seq FROM unnest(%(conversations)s::uuid[], %(seqs)s::bigint[]) AS new(id, seq) GROUP BY id
) AS new
WHERE conversation.id = new.id
"""
_FINISH = """
UPDATE chat_run AS run SET state = new.state, active = false, seq = new.seq, answer_id = new.answer,
    usage = new.usage::jsonb, error_code = new.code, error_message = new.message, provider = new.provider,
    model = new.model, draft = '[]'::jsonb, ended_at = clock_timestamp()
FROM unnest(%(runs)s::uuid[], %(attempts)s::int[], %(seqs)s::bigint[], %(states)s::text[], %(answers)s::uuid[],
    %(usages)s::text[], %(codes)s::text[], %(messages)s::text[], %(providers)s::text[], %(models)s::text[])
    AS new(id, attempt, seq, state, answer, usage, code, message, provider, model)
WHERE run.id = new.id AND run.attempt = new.attempt AND run.state = 'running'
    AND (run.lease_until < clock_timestamp() OR NOT %(lapsed)s)
RETURNING run.id, run.agent_id, coalesce(
    (SELECT user_id FROM chat_conversation AS conversation WHERE conversation.id = run.conversation_id), run.behind_id)
"""
_ANSWERS = """
INSERT INTO chat_message (id, workspace_id, conversation_id, role, content, parts, provider, model, usage, metadata,
    turn_at)
SELECT new.id, workspace, conversation, 'assistant', new.content, new.parts::jsonb, new.provider, new.model,
    new.usage::jsonb, new.metadata::jsonb, question.turn_at
FROM unnest(%(runs)s::uuid[], %(answers)s::uuid[], %(workspaces)s::uuid[], %(conversations)s::uuid[],
    %(contents)s::text[], %(parts)s::text[], %(providers)s::text[], %(models)s::text[], %(usages)s::text[],
    %(metadata)s::text[])
    AS new(run, id, workspace, conversation, content, parts, provider, model, usage, metadata)
JOIN chat_run AS run ON run.id = new.run JOIN chat_message AS question ON question.id = run.message_id
RETURNING id, created_at
"""


def finish(outcomes: Sequence[Outcome], *, lapsed: bool = False) -> dict[UUID, datetime | None]:
    """End these runs and store their answers in one transaction.

    Gives those that were still this worker's to end, each with the time of its answer if it has one; with `lapsed`
    those that are nobody's, because their lease has lapsed.
    """
    # Conversations first: whoever locks a run has locked its conversation before. What a worker that came too late
    # does to them is harmless.
    columns: dict[str, Any] = {**_columns(outcomes), "lapsed": lapsed}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CONVERSATIONS, columns)
        cursor.execute(_FINISH, columns)
        ended = {run_id: audit.agent(agent_id, person_id) for run_id, agent_id, person_id in cursor.fetchall()}
        answered = [outcome for outcome in outcomes if outcome.run_id in ended and outcome.parts]
        times: dict[UUID, datetime] = {}
        if answered:
            cursor.execute(_ANSWERS, _columns(answered))
            times = dict(cursor.fetchall())
        audit.record(*(_ending(outcome, ended[outcome.run_id]) for outcome in outcomes if outcome.run_id in ended))
        runs.promote([outcome.conversation_id for outcome in outcomes if outcome.run_id in ended])
    return {outcome.run_id: times.get(outcome.message_id) for outcome in outcomes if outcome.run_id in ended}


def _ending(outcome: Outcome, who: audit.Who) -> audit.Entry:
    """What the audit log is told of a run's end."""
    told = {"model": outcome.model, "provider": outcome.provider, "attempt": outcome.attempt}
    return audit.Entry(
        type=f"run.{outcome.state.value}",
        workspace_id=outcome.workspace_id,
        who=who,
        target=("run", outcome.run_id),
        agent_id=who.id,
        session_id=outcome.conversation_id,
        data={**told, **({"error": outcome.error_code} if outcome.error_code else {})},
    )


def _columns(outcomes: Sequence[Outcome]) -> dict[str, list[Any]]:
    """The outcomes as arrays, a column each."""
    return {
        "runs": [outcome.run_id for outcome in outcomes],
        "conversations": [outcome.conversation_id for outcome in outcomes],
        "workspaces": [outcome.workspace_id for outcome in outcomes],
        "attempts": [outcome.attempt for outcome in outcomes],
        "seqs": [outcome.seq for outcome in outcomes],
        "states": [outcome.state.value for outcome in outcomes],
        "answers": [outcome.message_id if outcome.parts else None for outcome in outcomes],
        "contents": [outcome.text for outcome in outcomes],
        "parts": [json.dumps(outcome.parts) for outcome in outcomes],
        "usages": [json.dumps(outcome.usage) if outcome.usage else None for outcome in outcomes],
        # An answer that was cut short says so.
        "metadata": [
            "{}" if outcome.state == RunState.COMPLETED else json.dumps({"incomplete": outcome.state.value})
            for outcome in outcomes
        ],
        "codes": [outcome.error_code for outcome in outcomes],
        "messages": [outcome.error_message for outcome in outcomes],
        "providers": [outcome.provider for outcome in outcomes],
        "models": [outcome.model for outcome in outcomes],
    }


def release(held: Iterable[tuple[UUID, int]]) -> int:
    """Give runs back before their end, because this worker stops: another begins them anew. Gives how many."""
    given = 0
    for run_id, attempt in held:
        given += Run.objects.filter(pk=run_id, attempt=attempt, state=RunState.RUNNING).update(
            state=RunState.QUEUED, not_before=Now(), lease_until=None, given_back=F("given_back") + 1
        )
        ring_run(run_id)
    return given


def buried(limit: int = 100) -> list[Outcome]:
    """Outcomes for runs whose last permitted attempt died: they end as failed, with what was said kept."""
    dead = Run.objects.filter(
        state=RunState.RUNNING, lease_until__lt=Now(), attempt__gte=F("given_back") + settings.RUN_MAX_ATTEMPTS
    )[:limit]
    return [
        Outcome(
            run_id=run.pk,
            conversation_id=run.conversation_id,
            workspace_id=run.workspace_id,
            attempt=run.attempt,
            seq=run.seq_base + run.attempt * Run.ATTEMPT_SEQS,
            state=RunState.FAILED,
            parts=run.draft,
            provider=run.provider,
            model=run.model,
            error_code="gave_up",
            error_message=f"The run's worker died {run.attempt - run.given_back} times; it is not tried again.",
        )
        for run in dead
    ]
