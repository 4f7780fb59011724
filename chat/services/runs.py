"""Use cases of runs as people see them: start, cancel, and how one stands."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Actor, User
from agents.brain import Choice
from agents.providers.base import PASSING
from approvals.services import audit
from chat import eventlog, transcript
from chat.bells import ring_run
from chat.models import Conversation, Message, MessageRole, Run, RunState
from chat.services import actions, verdicts
from core import ids
from core.errors import Conflict, NotFound


class OnConflict(StrEnum):
    """What a message does that finds its conversation busy."""

    REJECT = "reject"
    QUEUE = "queue"
    INTERRUPT = "interrupt"


class ConversationBusy(Conflict):
    """The conversation has an active run; `run_id` in the problem names it."""

    code = "conversation_busy"
    title = "The conversation is busy"


class LineFull(Conflict):
    """As many messages wait in the conversation as may."""

    code = "line_full"
    title = "Too many messages wait"


class ChangedMeanwhile(Conflict):
    """Something that the run needs was deleted while the message was on its way."""

    code = "changed_meanwhile"
    default_detail = "The session or its companion was deleted meanwhile; nothing was stored."


class UnknownRun(NotFound):
    """No run of the caller's has this id."""

    code = "unknown_run"
    title = "There is no such run"


def start(
    conversation: Conversation,
    *,
    text: str,
    by: Actor | None,
    choice: Choice,
    on_conflict: OnConflict = OnConflict.REJECT,
    metadata: dict[str, object] | None = None,
    run_id: UUID | None = None,
    behind: User | None = None,
    also: Callable[[Run], None] | None = None,
) -> Run:
    """Store the message and the run that answers it, and wake a worker once that is committed.

    `also` is called in the same transaction. A conversation that is not stored yet is stored with them. Who stands
    `behind` the run of an agent that woke by itself, or made the key by which a message of another person came,
    countersigns nothing of it. Raises ConversationBusy where another run has the conversation's turn and the message
    may neither wait nor interrupt.
    """
    message = Message(
        id=ids.new(),
        workspace_id=conversation.workspace_id,
        conversation=conversation,
        role=MessageRole.USER,
        content=text,
        parts=[{"type": "text", "text": text}],
        metadata=metadata or {},
    )
    run = Run(
        id=run_id or ids.new(),
        workspace_id=conversation.workspace_id,
        conversation=conversation,
        agent_id=answering(conversation),
        message=message,
        companion_type=conversation.companion.type if conversation.companion else "",
        provider=choice.provider.name,
        model=choice.model,
        behind=by.key.maker if by and by.key else behind,
    )
    conversation.title = conversation.title or _title(text)
    fresh = conversation._state.adding
    try:
        # A new conversation's one statement needs no transaction of its own: it is stored whole or not at all.
        alone = fresh and also is None and not connection.in_atomic_block
        with contextlib.nullcontext() if alone else transaction.atomic():
            if not fresh:
                _take_turn(conversation, run, on_conflict, by=by)
            _store(conversation, message, run, fresh=fresh, by=by)
            if also is not None:
                also(run)
            if run.active:
                ring_run(run.pk)
    except IntegrityError as error:
        if "one_active_run_per_conversation" in str(error):
            raise _busy(conversation) from None
        raise ChangedMeanwhile from error
    conversation._state.adding = False
    return run


def answering(conversation: Conversation) -> UUID:
    """The agent that answers in a conversation."""
    agent_id = conversation.companion.agent_id if conversation.companion else conversation.agent_id
    assert agent_id is not None, "a conversation has a companion or an agent"
    return agent_id


_BEGIN = """WITH conversation AS (
    INSERT INTO chat_conversation (id, workspace_id, user_id, companion_id, agent_id, title, archived, last_seq)
    VALUES (%(conversation)s, %(workspace)s, %(user)s, %(companion)s, %(background)s, %(title)s, false, 0)), """
_STORE = """, message AS (
    INSERT INTO chat_message (id, workspace_id, conversation_id, role, content, parts, model, provider, metadata)
    VALUES (%(message)s, %(workspace)s, %(conversation)s, %(role)s, %(content)s, %(parts)s::jsonb, '', '',
        %(metadata)s::jsonb))
INSERT INTO chat_run (id, workspace_id, conversation_id, agent_id, behind_id, message_id, state, active, attempt,
    given_back, resumed, steps, seq_base, seq, draft, companion_type, provider, model, worker, error_code,
    error_message)
VALUES (%(run)s, %(workspace)s, %(conversation)s, %(agent)s, %(behind)s, %(message)s, %(state)s, %(active)s, 0, 0,
    false, 0, 0, 0, '[]'::jsonb, %(companion_type)s, %(provider)s, %(model)s, '', '', '')
"""


def _store(conversation: Conversation, message: Message, run: Run, *, fresh: bool, by: Actor | None) -> None:
    """Insert the message, its run and what the audit log says of it, and a fresh conversation, in one statement.

    Three `save()`s in a transaction took four times the CPU here and five round trips; every message comes this way.
    """
    begun = audit.Entry(
        type="run.started",
        workspace_id=run.workspace_id,
        who=audit.person(by) if by else audit.agent(run.agent_id, run.behind_id),
        target=("run", run.pk),
        agent_id=run.agent_id,
        session_id=conversation.pk,
        data={"companion": run.companion_type, "model": run.model, "provider": run.provider},
    )
    logged, told = audit.cte([begun])
    with connection.cursor() as cursor:
        cursor.execute(
            (_BEGIN if fresh else "WITH ") + logged + _STORE,
            {
                **told,
                "background": conversation.agent_id,
                "conversation": conversation.pk,
                "workspace": conversation.workspace_id,
                "user": conversation.user_id,
                "companion": conversation.companion_id,
                "title": conversation.title,
                "message": message.pk,
                "role": message.role,
                "content": message.content,
                "parts": json.dumps(message.parts),
                "metadata": json.dumps(message.metadata),
                "run": run.pk,
                "agent": run.agent_id,
                "behind": run.behind_id,
                "state": run.state,
                "active": run.active,
                "companion_type": run.companion_type,
                "provider": run.provider,
                "model": run.model,
            },
        )


def cancel(run: Run, *, by: Actor) -> None:
    """Ask that the run stop. One that waits in line ends here; one under way is stopped by its worker."""
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update(no_key=True).filter(pk=run.conversation_id).first()
        if conversation is not None and cancel_locked(run.pk, conversation, by=by):
            promote([conversation.pk])


def get(run_id: UUID, *, by: Actor) -> Run:
    """The caller's run; raises UnknownRun."""
    found: Run | None = Run.objects.visible_to(by).select_related("conversation").filter(pk=run_id).first()
    if found is None:
        raise UnknownRun(f"No run {run_id} is yours.")
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands in the database: the truth that a reader falls back to when the log cannot serve it."""

    state: RunState
    attempt: int
    seq: int
    text: str
    reasoning: str
    message_id: str | None
    error_code: str
    error_message: str
    provider: str
    model: str
    companion: str
    conversation_id: str
    waits_for: tuple[actions.Asked, ...] = ()


def standing(run_id: str) -> Standing | None:
    """The run as the database has it, or None where it has been deleted."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        return None
    answer = Message.objects.filter(pk=run.answer_id).first() if run.answer_id else None
    parts = answer.parts if answer else run.draft
    return Standing(
        state=RunState(run.state),
        attempt=run.attempt,
        seq=run.seq,
        text=transcript.text(parts),
        reasoning=transcript.text(parts, "reasoning"),
        message_id=str(run.answer_id) if run.answer_id else None,
        error_code=run.error_code,
        error_message=run.error_message,
        provider=run.provider,
        model=run.model,
        companion=run.companion_type,
        conversation_id=str(run.conversation_id),
        waits_for=tuple(actions.asked(run.pk)) if run.state == RunState.WAITING_APPROVAL else (),
    )


_RETRYABLE = PASSING | {"gave_up", "internal_error", "brain_unavailable"}


def retryable(error_code: str) -> bool:
    """Whether the same message may be sent again with hope after a run failed with this code."""
    return error_code in _RETRYABLE


_PROMOTE = """
UPDATE chat_run SET active = true, not_before = clock_timestamp() WHERE id IN (
    SELECT DISTINCT ON (conversation_id) id FROM chat_run
    WHERE conversation_id = ANY(%(ended)s) AND state = 'queued' AND NOT active
        AND NOT EXISTS (
            SELECT FROM chat_run AS holder WHERE holder.conversation_id = chat_run.conversation_id AND holder.active)
    ORDER BY conversation_id, created_at, id)
RETURNING id
"""


def promote(conversation_ids: list[UUID]) -> None:
    """Give each conversation's turn, where it is free, to the run that has waited longest in its line."""
    with connection.cursor() as cursor:
        cursor.execute(_PROMOTE, {"ended": conversation_ids})
        for (run_id,) in cursor.fetchall():
            ring_run(run_id)


def _take_turn(conversation: Conversation, run: Run, on_conflict: OnConflict, *, by: Actor | None) -> None:
    """Take the stored conversation's turn if it is free, else wait for it, stopping who has it where that is asked.

    The conversation is locked before any of its runs, here as everywhere.
    """
    locked = Conversation.objects.select_for_update(no_key=True).filter(pk=conversation.pk).first()
    if locked is None:
        raise ChangedMeanwhile
    locked.title = conversation.title = locked.title or conversation.title
    locked.updated_at = Now()
    locked.save(update_fields=["title", "updated_at"])
    line = Run.objects.filter(conversation=locked).filter(Q(active=True) | Q(state=RunState.QUEUED))
    if on_conflict is OnConflict.INTERRUPT:
        for waiting in line.order_by(
            "active", "id"
        ):  # who has the turn last, or it would pass to who is cancelled next
            cancel_locked(waiting.pk, locked, by=by)
    if on_conflict is OnConflict.QUEUE and line.filter(active=False).count() >= settings.LINE_LIMIT:
        raise LineFull(f"{settings.LINE_LIMIT} messages wait in this conversation already.")
    if on_conflict is not OnConflict.REJECT:
        run.active = not line.filter(active=True).exists()


def cancel_locked(run_id: UUID, conversation: Conversation, *, by: Actor | None) -> bool:
    """Cancel under the conversation's lock; True where the run ended by it, with what it had said kept."""
    run = Run.objects.select_for_update().get(pk=run_id)
    if run.state == RunState.RUNNING:
        if not run.cancel_requested_at:
            Run.objects.filter(pk=run_id).update(cancel_requested_at=Now())
            audit.record(_told(run, "run.cancel_requested", by))
        transaction.on_commit(lambda: eventlog.ask_to_stop(run_id), robust=True)
        return False
    if run.ended:
        return False
    if run.state == RunState.WAITING_APPROVAL:
        verdicts.withdraw(run, by=by)
        run.refresh_from_db(fields=["seq", "draft"])
    run.seq = max(run.seq_base + run.attempt * Run.ATTEMPT_SEQS, conversation.last_seq, run.seq) + 1
    run.state, run.active, run.cancel_requested_at, run.ended_at = RunState.CANCELLED, False, Now(), Now()
    if run.draft:
        run.answer_id = _keep_draft(run).pk
    run.save()
    Conversation.objects.filter(pk=conversation.pk).update(last_seq=run.seq)
    conversation.last_seq = run.seq
    audit.record(_told(run, "run.cancelled", by))
    name = str(by.user) if by else ""
    transaction.on_commit(lambda: eventlog.tell_cancelled(run, seq=run.seq, by=name), robust=True)
    return True


def _told(run: Run, type_: str, by: Actor | None) -> audit.Entry:
    """What the log has of somebody who stops a run."""
    return audit.Entry(
        type=type_,
        workspace_id=run.workspace_id,
        who=audit.person(by) if by else audit.SYSTEM,
        target=("run", run.pk),
        agent_id=run.agent_id,
        session_id=run.conversation_id,
    )


def _keep_draft(run: Run) -> Message:
    """What the run had said before its worker gave it back, as an answer that says it is incomplete."""
    return Message.objects.create(
        workspace_id=run.workspace_id,
        conversation_id=run.conversation_id,
        role=MessageRole.ASSISTANT,
        content=run.said,
        parts=run.draft,
        provider=run.provider,
        model=run.model,
        metadata={"incomplete": RunState.CANCELLED.value},
        turn_at=run.message.turn_at,
    )


def _busy(conversation: Conversation) -> ConversationBusy:
    holder = Run.objects.filter(conversation=conversation, active=True).first()
    return ConversationBusy(
        "Another message is being answered. Wait for it, cancel its run, or send on_conflict `queue` or `interrupt`.",
        extra={"run_id": str(holder.pk)} if holder else {},
    )


def _title(text: str) -> str:
    """The first line of what was said, cut to a title's length."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= 80 else first[:79].rstrip() + "…"
