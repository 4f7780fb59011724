"""How workers end runs: with their answers, many at once, or buried where the last attempt died.

Compare-and-set on the attempt, as in `leases.py`: a worker that slept past its lease ends nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from agents.providers import rehearsal
from approvals.services import audit
from chat import transcript
from chat.models import Run, RunRole, RunState
from chat.services import families, ledger, runs
from chat.services.ledger import Account
from chat.transcript import Part
from core import ids, prepared
from memory.models import Author
from memory.services import keeping, readings
from memory.services.keeping import Told, Whose

LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `seq` is the number of its terminal event; `cut`: for its length, by the model's word."""

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
    account: Account | None = None
    cut: bool = False
    error_code: str = ""
    error_message: str = ""
    budget: dict[str, Any] | None = None
    message_id: UUID = field(default_factory=ids.new)

    @property
    def text(self) -> str:
        """The answer's text."""
        return transcript.text(self.parts)

    @property
    def answer_id(self) -> UUID | None:
        """The answer's id, None where nothing was said."""
        return self.message_id if self.parts else None

    @property
    def incomplete(self) -> str:
        """Why the answer is not whole; empty where it is."""
        if self.state == RunState.COMPLETED:
            return LENGTH if self.cut else ""
        return self.state.value


_LOCKED = """
SELECT FROM chat_conversation WHERE id = ANY(%(conversations)s) ORDER BY id FOR NO KEY UPDATE
"""
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
    model = new.model, spent = coalesce(new.spent::jsonb, run.spent), draft = '[]'::jsonb, given = NULL,
    ended_at = clock_timestamp()
FROM unnest(%(runs)s::uuid[], %(conversations)s::uuid[], %(attempts)s::int[], %(seqs)s::bigint[], %(states)s::text[],
    %(answers)s::uuid[], %(usages)s::text[], %(codes)s::text[], %(messages)s::text[], %(providers)s::text[],
    %(models)s::text[], %(spent)s::text[])
    AS new(id, conversation, attempt, seq, state, answer, usage, code, message, provider, model, spent)
JOIN chat_conversation AS conversation ON conversation.id = new.conversation
WHERE run.id = new.id AND run.attempt = new.attempt AND run.state = 'running'
    AND (run.lease_until < clock_timestamp() OR NOT %(lapsed)s)
RETURNING run.id, run.agent_id, coalesce(conversation.user_id, run.behind_id), run.role, conversation.user_id,
    CASE WHEN conversation.parent_id IS NULL AND NOT conversation.external THEN (SELECT id FROM companions_companion
        WHERE id = conversation.companion_id AND memory_layers ? 'history') END
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
    # Conversations first, in order: whoever locks a run has locked its conversation before, and whoever locks several
    # begins with the oldest. What a worker that came too late does to them is harmless.
    columns: dict[str, Any] = {**_columns(outcomes), "lapsed": lapsed}
    with transaction.atomic():
        prepared.execute(_LOCKED, columns)
        prepared.execute(_CONVERSATIONS, columns)
        rows = prepared.execute(_FINISH, columns).fetchall()
        ended = {run_id: audit.agent(agent_id, person_id) for run_id, agent_id, person_id, *_ in rows}
        answered = [outcome for outcome in outcomes if outcome.run_id in ended and outcome.parts]
        times: dict[UUID, datetime] = {}
        if answered:
            times = dict(prepared.execute(_ANSWERS, _columns(answered)).fetchall())
            _remember(answered, times, {row[0]: (row[4], row[5]) for row in rows})
        audit.record(*(_ending(outcome, ended[outcome.run_id]) for outcome in outcomes if outcome.run_id in ended))
        if asked := {row[0] for row in rows if row[3] == RunRole.DELEGATE}:
            families.settle_calls([_told(outcome) for outcome in outcomes if outcome.run_id in asked])
        known = [one for one in outcomes if one.account is not None]
        ledger.record((one.account, one.answer_id) for one in known if one.run_id in ended and one.account)
        ledger.record_deleted(one.account for one in known if one.run_id not in ended and one.account)
        runs.promote([outcome.conversation_id for outcome in outcomes if outcome.run_id in ended])
    return {outcome.run_id: times.get(outcome.message_id) for outcome in outcomes if outcome.run_id in ended}


def _remember(
    answered: Sequence[Outcome], times: dict[UUID, datetime], asked: dict[UUID, tuple[UUID | None, UUID | None]]
) -> None:
    """Keep the answers as memories of those whom they answer: by run, the person and the companion that keeps them.

    What the rehearsal says is nobody's: no model said it, and of the person it only repeats what is kept already.
    """
    heard = [one for one in answered if one.text and None not in asked[one.run_id]]
    spoken = [one for one in heard if one.model not in rehearsal.MODELS]
    kept = keeping.keep(
        (
            Whose(one.workspace_id, *asked[one.run_id]),
            Told(one.conversation_id, one.message_id, Author.COMPANION.value, one.text, times[one.message_id]),
        )
        for one in spoken
    )
    if kept or len(spoken) < len(heard):
        readings.note([one.conversation_id for one in heard])


def _told(outcome: Outcome) -> tuple[UUID, bool, str, str]:
    """What an agent that asked another is told of the end of its run."""
    ok = outcome.state == RunState.COMPLETED
    return outcome.run_id, ok, outcome.text if ok else outcome.error_message, outcome.error_code or outcome.state.value


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
        "answers": [outcome.answer_id for outcome in outcomes],
        "contents": [outcome.text for outcome in outcomes],
        "parts": [json.dumps(transcript.shown(outcome.parts)) for outcome in outcomes],
        "usages": [json.dumps(outcome.usage) if outcome.usage else None for outcome in outcomes],
        # An answer that was cut short says so.
        "metadata": [json.dumps({"incomplete": one.incomplete} if one.incomplete else {}) for one in outcomes],
        "codes": [outcome.error_code for outcome in outcomes],
        "messages": [outcome.error_message for outcome in outcomes],
        "providers": [outcome.provider for outcome in outcomes],
        "models": [outcome.model for outcome in outcomes],
        "spent": [json.dumps(ledger.written(one.account.spent)) if one.account else None for one in outcomes],
    }


def buried(limit: int = 100) -> list[Outcome]:
    """Outcomes for runs whose last permitted attempt died: they end as failed, with what was said kept."""
    dead = Run.objects.filter(
        state=RunState.RUNNING, lease_until__lt=Now(), attempt__gte=F("given_back") + settings.RUN_MAX_ATTEMPTS
    ).select_related("conversation")[:limit]
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
            usage=run.usage,
            account=ledger.account(run),
            error_code="gave_up",
            error_message=f"The run's worker died {run.attempt - run.given_back} times; it is not tried again.",
        )
        for run in dead
    ]
