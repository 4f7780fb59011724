"""Use cases of runs as workers see them: claim, checkpoint, hand over, release; `finishing.py` ends them.

Each takes or gives many runs at once, in one statement where it can, because a worker answers hundreds at a time.
Every change is compare-and-set on the attempt: a worker that slept past its lease changes nothing. All times are
the database's.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from agents.providers.base import ChatMessage, Options, ToolDefinition
from agents.tools import client
from chat import transcript
from chat.bells import ring_run
from chat.models import MessageRole, Run, RunRole, RunState
from chat.services import history, kept, ledger, quoting, traces
from chat.services.history import Past
from chat.services.ledger import Spent
from chat.transcript import Part
from core import prepared, tracing
from core.tracing import Span
from memory.services import telling
from memory.services.telling import Telling

ACTING = ("", RunRole.MEMBER, RunRole.DELEGATE)
"""The roles of runs whose models are offered tools; who votes or sums up does nothing else."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run in this worker's hands, with all that answering it needs. Events are numbered above `seq`.

    `messages` end with the one to answer, and its client quotes what came `after` that; `cut` says that older ones are
    missing from them. `parts` is what it said and did before, `steps` how often its model was asked for that; a run
    that `resumed` goes on with its readers where it stopped. `telling` says of whose memories it is told, and
    `memories` which it was told already, None before any. It `waited` so many seconds for a worker.
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
    cut: bool = False
    resumed: bool = False
    steps: int = 0
    parts: tuple[Part, ...] = ()
    usage: dict[str, Any] | None = None
    spent: tuple[Spent, ...] = ()
    tools: tuple[str, ...] = ()
    root_id: UUID | None = None
    team: dict[str, Any] | None = None
    agent_id: UUID = UUID(int=0)
    client_tools: tuple[ToolDefinition, ...] = ()
    tools_off: frozenset[str] = frozenset()
    telling: Telling | None = None
    memories: tuple[UUID, ...] | None = None
    after: tuple[ChatMessage, ...] = ()
    most_tokens: int | None = None
    options: Options = Options()
    waited: float = 0.0
    span: Span = tracing.NOTHING


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The answer so far, and the number of the last event that it covers."""

    run_id: UUID
    attempt: int
    seq: int
    parts: Sequence[Part]
    spent: Sequence[Spent] = ()


# The two ways to be ready have an index each; one statement with OR would use neither.
_QUEUED = "state = 'queued' AND active AND not_before <= clock_timestamp()"
_LAPSED = "state = 'running' AND lease_until < clock_timestamp() AND attempt - given_back < %(attempts)s"
# What works within a run is to stop with it.
_STOPPED = """(run.cancel_requested_at IS NOT NULL OR EXISTS (SELECT FROM chat_run AS above
    WHERE above.id = run.parent_id AND (above.cancel_requested_at IS NOT NULL OR above.ended_at IS NOT NULL)))"""
_CLAIM = """
WITH ready AS (
    SELECT id, conversation_id, agent_id, message_id, resumed, agent_version FROM chat_run
    WHERE {ready} AND id <> ALL(%(held)s){unless}
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE chat_run AS run SET
    state = 'running', attempt = run.attempt + 1, worker = %(worker)s, resumed = false,
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
    started_at = coalesce(run.started_at, now()),
    seq_base = CASE WHEN run.attempt = 0 THEN conversation.last_seq ELSE run.seq_base END,
    -- Whose words it is told from here on; those whose words it was told before stay.
    author_ids = ARRAY(SELECT unnest(run.author_ids) UNION SELECT unnest(companion.author_ids))
FROM ready
    JOIN chat_conversation AS conversation ON conversation.id = ready.conversation_id
    JOIN agents_agent AS agent ON agent.id = ready.agent_id
    JOIN chat_message AS message ON message.id = ready.message_id
    LEFT JOIN companions_companion AS companion ON companion.id = conversation.companion_id
    -- What the run keeps to, where the agent was changed since it began.
    LEFT JOIN agents_agentversion AS version ON ready.agent_version <> agent.version
        AND version.agent_id = agent.id AND version.number = ready.agent_version
WHERE run.id = ready.id
RETURNING run.id, run.conversation_id, run.workspace_id, run.attempt, run.seq_base, run.companion_type, run.provider,
    run.model, {stopped}, message.content,
    conversation.user_id, companion.name, companion.personality, companion.tone,
    coalesce(nullif(run.mood, ''), companion.mood, 'normal'),
    ready.resumed, run.seq, run.steps, run.draft, run.usage, companion.tools_allowed,
    run.agent_id, run.root_id, run.role, run.team, {seen}, run.client_tools, run.spent, run.web,
    run.given, agent.bare,
    CASE WHEN conversation.parent_id IS NULL AND NOT conversation.external THEN companion.id END,
    companion.memory_layers, companion.memory_budget, run.memories,
    ARRAY(SELECT tool FROM agents_toolsetting WHERE workspace_id = run.workspace_id AND NOT enabled),
    extract(epoch FROM clock_timestamp() - run.not_before)::float8,
    agent.name, agent.personality, agent.tone, agent.instructions, agent.tools, agent.given, version.snapshot
"""


# A member of a team sees what came with the message to the team.
_SEEN = """jsonb_path_query_array(CASE WHEN run.role <> 'member' THEN message.parts ELSE (
    SELECT asked.parts FROM chat_run AS above JOIN chat_message AS asked ON asked.id = above.message_id
    WHERE above.id = run.parent_id) END, '$[*] ? (@.type == "image")')"""
_UNLESS = """
    AND NOT EXISTS (SELECT FROM chat_conversation AS theirs
        WHERE theirs.id = chat_run.conversation_id AND theirs.user_id = ANY(%(sated)s))"""


def claim(
    worker: str, *, limit: int, held: Iterable[UUID] = (), sated: Collection[UUID] = (), lapsed: bool = False
) -> list[Claim]:
    """Take up to `limit` runs that are ready, or whose worker's lease lapsed.

    Passed over are those already `held` here, and those of `sated` people, who have their share of this worker.
    """
    statement = _CLAIM.format(
        ready=_LAPSED if lapsed else _QUEUED, unless=_UNLESS if sated else "", stopped=_STOPPED, seen=_SEEN
    )
    asked = {
        "limit": limit,
        "worker": worker,
        "held": list(held),
        "sated": list(sated),
        "lease": settings.RUN_LEASE_SECONDS,
        "attempts": settings.RUN_MAX_ATTEMPTS,
    }
    claimed = prepared.execute(statement, asked).fetchall()
    # A conversation in which nothing was numbered yet has no history: the common case of a first message.
    past = history.of([row[0] for row in claimed if row[4] > 0 or row[3] > 1])
    spans = traces.begin({row[0]: _said(row) for row in claimed}) if tracing.on() else {}
    return [_claim(row, past.get(row[0], Past()), spans.get(row[0], tracing.NOTHING)) for row in claimed]


def _claim(row: tuple[Any, ...], past: Past, span: Span) -> Claim:
    run_id, conversation_id, workspace_id, attempt, seq_base, companion, provider, model, cancelled, text = row[:10]
    resumed, seq, steps, draft, usage, allowed, agent_id, root_id, role, team, seen, theirs, spent, web = row[15:29]
    quoted, bare, companion_id, layers, budget, memories, off, waited = row[29:37]
    given, (agent, tools) = quoting.stored(quoted), kept.agent(row[37:])
    if bare:  # a model alone has no persona
        agent = ("", "", "", "")
    parts = transcript.durable(json.loads(draft)) if steps else []
    if team is not None:  # what its members said is told anew, save to those who read on where it waited
        parts = json.loads(draft) if resumed else []
    names = tools if role in ACTING else []
    if allowed is not None and (only := json.loads(allowed)):
        names = [name for name in names if name in only]
    images = transcript.images(json.loads(seen)) if seen else ()
    before, after = quoting.around(given, team=team is not None)
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
        system=quoting.system(kept.system(row[11:15], agent, web=web), given),
        messages=(*before, *past.messages, ChatMessage(MessageRole.USER.value, text, images=images)),
        after=after,
        most_tokens=given.most_tokens,
        options=given.options,
        cut=past.cut,
        cancelled=cancelled,
        resumed=resumed,
        steps=steps,
        parts=tuple(parts),
        usage=json.loads(usage) if usage else None,
        spent=ledger.read(json.loads(spent)) if spent else (),
        tools=tuple(names),
        agent_id=agent_id,
        root_id=root_id,
        team=json.loads(team) if team else None,
        client_tools=client.offered(json.loads(theirs)) if theirs else (),
        tools_off=frozenset(off),
        telling=None if role else _telling(workspace_id, row[10], companion_id, layers, budget),
        memories=None if memories is None else tuple(UUID(one) for one in json.loads(memories)),
        waited=waited,
        span=span,
    )


def _said(row: tuple[Any, ...]) -> dict[str, tracing.Value]:
    """What a run's span says of it."""
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": str(row[21]),
        "gen_ai.conversation.id": str(row[1]),
        "countersign.run.id": str(row[0]),
        "countersign.run.attempt": row[3],
    }


def _telling(workspace_id: UUID, user_id: UUID | None, companion_id: UUID | None, *kept: str) -> Telling | None:
    """Whose memories are told where a person speaks with a companion, unless it keeps none."""
    if user_id is None or companion_id is None:
        return None
    found = Telling(workspace_id, user_id, companion_id, telling.budget(*map(json.loads, kept)))
    return found if found.budget else None


# A checkpoint may come after a step that was stored meanwhile: what covers less changes neither draft nor account.
_CHECKPOINT = f"""
UPDATE chat_run AS run SET seq = greatest(run.seq, new.seq),
    draft = CASE WHEN new.seq >= run.seq THEN new.draft::jsonb ELSE run.draft END,
    spent = CASE WHEN new.seq >= run.seq THEN new.spent::jsonb ELSE run.spent END,
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
FROM unnest(%(runs)s::uuid[], %(attempts)s::int[], %(seqs)s::bigint[], %(drafts)s::text[],
    %(spent)s::text[]) AS new(id, attempt, seq, draft, spent)
WHERE run.id = new.id AND run.attempt = new.attempt AND run.state = 'running'
RETURNING run.id, {_STOPPED}
"""


def checkpoint(points: Sequence[Checkpoint]) -> dict[UUID, bool]:
    """Store the drafts and renew the leases; gives those still held, each with whether it has been asked to stop."""
    drafts = {
        "lease": settings.RUN_LEASE_SECONDS,
        "runs": [point.run_id for point in points],
        "attempts": [point.attempt for point in points],
        "seqs": [point.seq for point in points],
        "drafts": [json.dumps(point.parts) for point in points],
        "spent": [json.dumps(ledger.written(point.spent)) for point in points],
    }
    return dict(prepared.execute(_CHECKPOINT, drafts).fetchall())


def hand_over(run_id: UUID, attempt: int, provider: str, model: str) -> bool:
    """Note that another provider answers this attempt's run from here on; False where the run is not its any more."""
    mine = Run.objects.filter(pk=run_id, attempt=attempt, state=RunState.RUNNING)
    return bool(mine.update(provider=provider, model=model))


def release(held: Iterable[tuple[UUID, int, Sequence[Spent]]]) -> int:
    """Give runs back before their end, because this worker stops: another begins them anew. Gives how many.

    Each is its id, its attempt, and what was used for it.
    """
    given = 0
    for run_id, attempt, spent in held:
        given += Run.objects.filter(pk=run_id, attempt=attempt, state=RunState.RUNNING).update(
            state=RunState.QUEUED,
            not_before=Now(),
            lease_until=None,
            given_back=F("given_back") + 1,
            spent=ledger.written(spent),
        )
        ring_run(run_id)
    return given
