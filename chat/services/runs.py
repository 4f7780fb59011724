"""Use cases of runs as people see them: start and cancel."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Actor, User
from accounts.services import budgets, holds
from agents.brain import Choice
from agents.tools.client import Definition
from approvals.services import audit
from chat import eventlog, transcript
from chat.bells import ring_run
from chat.models import ENDED, WAITING, Conversation, Message, MessageRole, Run, RunState
from chat.services import actions, attachments, families, ledger, quoting, storing, verdicts
from chat.services.attachments import Written
from chat.services.quoting import Quoted
from core import commits, ids, prepared
from core.errors import Conflict, NotFound

MOST_STOPPED = 200
BUSY = ("one_active_run_per_conversation", "one_conversation_per_client_id")
"""The constraints by which one of two messages that come at once is refused."""


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
    mood: str = "",
    web: bool = False,
    run_id: UUID | None = None,
    behind: User | None = None,
    behind_ids: Iterable[UUID] = (),
    team: dict[str, Any] | None = None,
    client_tools: Sequence[Definition] = (),
    images: Sequence[Written] = (),
    quoted: Quoted | None = None,
    also: Callable[[Run], None] | None = None,
) -> Run:
    """Store the message and the run that answers it, and wake a worker once that is committed.

    `also` is called in the same transaction; `team` says how a team answers; `images` and `client_tools` come with the
    message, and `quoted` is what else its client gave. A conversation that is not stored yet is stored with them. Who
    stands `behind` the run of an agent that woke by itself, or made the key by which a message of another person came,
    countersigns nothing of it, nor does who speaks in a conversation of somebody else's, nor do those of `behind_ids`.
    Raises ConversationBusy where another run has the conversation's turn and the message may neither wait nor
    interrupt.
    """
    check_budgets(conversation, choice)
    message = Message(
        id=ids.new(),
        workspace_id=conversation.workspace_id,
        conversation=conversation,
        role=MessageRole.USER,
        content=text,
        parts=[*(one.prepared.part() for one in images), {"type": "text", "text": text}],
        metadata=metadata or {},
    )
    run = Run(
        id=run_id or ids.new(),
        workspace_id=conversation.workspace_id,
        conversation=conversation,
        agent_id=answering(conversation),
        message=message,
        companion_type=conversation.companion.type if conversation.companion else "",
        mood=mood,
        web=web,
        provider=choice.provider.name,
        model=choice.model,
        behind=by.key.maker if by and by.key else behind,
        behind_ids=_standing_behind(conversation, by, behind_ids),
        client_tools=list(client_tools) or None,
        team=team,
        given=quoting.kept(quoted) if quoted else None,
    )
    conversation.title = conversation.title or title_of(text)
    fresh = conversation._state.adding
    if fresh:  # what a client quotes is in no list, and not unread
        conversation.quoted = quoted is not None
    pictures = [*(quoted.images if quoted else ()), *images]
    try:
        # One statement needs no transaction of its own: it is stored whole or not at all.
        once = also is None and not pictures and not connection.in_atomic_block
        free = not fresh and on_conflict is OnConflict.REJECT  # the turn is taken, or a constraint says it is not free
        with contextlib.nullcontext() if once and (fresh or free) else transaction.atomic():
            if not fresh and not free:
                _take_turn(conversation, run, on_conflict, by=by)
            if not storing.store(conversation, message, run, fresh=fresh, turn=free, by=by):
                raise ChangedMeanwhile
            if pictures:
                attachments.store(message, pictures)
            if also is not None:
                also(run)
            if run.active:
                ring_run(run.pk)
    except IntegrityError as error:
        if any(name in str(error) for name in BUSY):
            raise _busy(conversation) from None
        raise ChangedMeanwhile from error
    conversation._state.adding = False
    return run


def _standing_behind(conversation: Conversation, by: Actor | None, behind_ids: Iterable[UUID]) -> list[UUID]:
    """Who else than the conversation's person may have wished what comes of a message."""
    speaker = {by.user.pk} - {conversation.user_id} if by else set()
    return sorted({*behind_ids, *speaker})


def check_budgets(conversation: Conversation, choice: Choice) -> None:
    """Raises BudgetExceeded where nothing is left for an answer; each call of a model is held back by itself."""
    workspace_id, agent_id = conversation.workspace_id, None if conversation.team else answering(conversation)
    limits = budgets.applying(workspace_id, user_id=conversation.user_id, agent_id=agent_id)
    holds.check(limits, workspace_id=workspace_id, free=choice.provider.own_key or choice.provider.offline)


def answering(conversation: Conversation) -> UUID:
    """The agent that answers in a conversation: of a team the one that leads it."""
    agent_id = conversation.companion.agent_id if conversation.companion else conversation.agent_id
    if conversation.team:
        agent_id = conversation.team.lead_id
    assert agent_id is not None, "a conversation has a companion, an agent or a team"
    return agent_id


def cancel(run: Run, *, by: Actor | None) -> None:
    """Ask that the run stop, and all within it. One that waits ends here; one under way is stopped by its worker."""
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update(no_key=True).filter(pk=run.conversation_id).first()
        if conversation is not None and cancel_locked(run.pk, conversation, by=by):
            promote([conversation.pk])


def stop_below(run_id: UUID | None = None, *, by: Actor | None = None) -> None:
    """Stop what works within a run, or within any that is over: in a transaction each, because locks go upwards.

    Whoever was asked to stop already is left to its worker; one that waits has none, and is ended here.
    """
    going = Run.objects.filter(ended_at=None)
    below = going.filter(parent=run_id) if run_id else going.filter(parent__isnull=False, parent__state__in=ENDED)
    waiting = (below if run_id else going).filter(cancel_requested_at__isnull=False, state__in=WAITING)
    for run in (*below.filter(cancel_requested_at=None)[:MOST_STOPPED], *waiting[:MOST_STOPPED]):
        cancel(run, by=by)


def get(run_id: UUID, *, by: Actor) -> Run:
    """The caller's run; raises UnknownRun."""
    found: Run | None = Run.objects.visible_to(by).select_related("conversation").filter(pk=run_id).first()
    if found is None:
        raise UnknownRun(f"No run {run_id} is yours.")
    return found


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
    for (run_id,) in prepared.execute(_PROMOTE, {"ended": conversation_ids}).fetchall():
        ring_run(run_id)


def _take_turn(conversation: Conversation, run: Run, on_conflict: OnConflict, *, by: Actor | None) -> None:
    """Take the stored conversation's turn if it is free, else wait in line, stopping who has it if that is asked.

    The conversation is locked before any of its runs, here as everywhere.
    """
    locked = Conversation.objects.select_for_update(no_key=True).filter(pk=conversation.pk).first()
    if locked is None:
        raise ChangedMeanwhile
    locked.title = conversation.title = locked.title or conversation.title
    locked.updated_at = Now()
    line = Run.objects.filter(conversation=locked).filter(Q(active=True) | Q(state=RunState.QUEUED))
    if on_conflict is OnConflict.INTERRUPT:
        # Who has the turn comes last, or it would pass to who is cancelled next.
        for waiting in line.order_by("active", "id"):
            cancel_locked(waiting.pk, locked, by=by)
    if on_conflict is OnConflict.QUEUE and line.filter(active=False).count() >= settings.LINE_LIMIT:
        raise LineFull(f"{settings.LINE_LIMIT} messages wait in this conversation already.")
    run.active = not line.filter(active=True).exists()
    if run.active and locked.user_id and not locked.external:  # who answers has seen what was said before
        locked.unread_from = Now()
    locked.quoted = False  # whoever goes on in it has it for a session
    locked.save(update_fields=["title", "updated_at", "unread_from", "quoted"])


def cancel_locked(run_id: UUID, conversation: Conversation, *, by: Actor | None) -> bool:
    """Cancel under the conversation's lock; True where the run ended by it, with what it had said kept."""
    run = Run.objects.select_for_update().get(pk=run_id)
    if not run.ended:
        commits.after(stop_below, run_id, by=by)
    if run.state == RunState.RUNNING:
        if not run.cancel_requested_at:
            Run.objects.filter(pk=run_id).update(cancel_requested_at=Now())
            audit.record(_told(run, "run.cancel_requested", by))
        commits.after(eventlog.ask_to_stop, run_id)
        return False
    if run.ended:
        return False
    if run.waits:
        verdicts.withdraw(run, by=by)
        run.refresh_from_db(fields=["seq", "draft"])
    run.seq = max(run.seq_base + run.attempt * Run.ATTEMPT_SEQS, conversation.last_seq, run.seq) + 1
    run.state, run.active, run.cancel_requested_at, run.ended_at = RunState.CANCELLED, False, Now(), Now()
    run.given = None
    if run.draft:
        run.answer_id = _keep_draft(run).pk
    run.save()
    ledger.record_unfinished(run)
    Conversation.objects.filter(pk=conversation.pk).update(last_seq=run.seq)
    conversation.last_seq = run.seq
    audit.record(_told(run, "run.cancelled", by))
    families.settle_calls([(run.pk, False, "It was stopped.", "cancelled")] if run.parent_id else [])
    actions.wake_above(run)
    name = str(by.user) if by else ""
    commits.after(eventlog.tell_cancelled, run, seq=run.seq, by=name)
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
        parts=transcript.shown(run.draft),
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


def title_of(text: str) -> str:
    """The first line of what was said, cut to a title's length."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= 80 else first[:79].rstrip() + "…"
