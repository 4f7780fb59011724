"""Answering a message anew: what was said last goes, with its answer, when the run begins that answers it again.

What the replaced answer did stays done and in the audit log. What is remembered of it stays as what the new message was
before: it is neither told nor listed any more, and goes with it where that is forgotten.
"""

from uuid import UUID

from accounts.models import Actor
from chat.models import Compaction, Conversation, Message, MessageRole, Run
from chat.services import conversations, runs
from core.errors import Conflict
from memory.services import keeping

WHY = "What it answered was said otherwise."


class NotLast(Conflict):
    """What is to be answered anew is not what was said last."""

    code = "not_the_last_answer"
    default_detail = "Only the last answer of a conversation is given anew. Send the message again as a new one."


def last_turn(conversation: Conversation, *, text: str, run_id: UUID | None = None) -> Message | None:
    """The message that was said last, if it says this text; None where the text was never said, as it may be by now.

    Raises NotLast where it is not what the run of this id answered.
    """
    said = conversation.messages.filter(role=MessageRole.USER).order_by("-turn_at", "-created_at")
    found: Message | None = said.first()
    theirs = Run.objects.filter(conversation=conversation)
    asked = theirs.filter(pk=run_id).values_list("message", flat=True).first() if run_id else None
    if asked is not None and (found is None or asked != found.pk or found.content != text):
        raise NotLast
    return found if found is not None and found.content == text else None


def replace_last(run: Run, message_id: UUID, *, by: Actor) -> None:
    """Let a run answer in the place of the message that was said last; in the transaction that begins it.

    Raises NotLast where another was said after it, or where it is none of this conversation's.
    """
    said = Message.objects.filter(conversation=run.conversation_id, role=MessageRole.USER).exclude(pk=run.message_id)
    last: Message | None = said.order_by("-turn_at", "-created_at").first()
    if last is None or last.pk != message_id:
        raise NotLast
    replace(run, last, by=by)


def replace(run: Run, old: Message, *, by: Actor) -> None:
    """Remove a message, and what was said after it, but for what the run answers; in the transaction that begins it.

    What is answering it is stopped, as where a session is deleted, and the turn is the next one's. A title that was
    made of the message is made of the one in its place.
    """
    gone = Message.objects.filter(conversation=run.conversation_id, turn_at__gte=old.turn_at).exclude(pk=run.message_id)
    asked = set(Run.objects.filter(conversation=run.conversation_id, message__in=gone).values_list("pk", flat=True))
    going = [one for one in conversations.under_way(run.conversation) if (one.root_id or one.pk) in asked]
    conversations.let_go(going, by=by, why=WHY)
    Conversation.objects.filter(parent=run.conversation_id, runs__root_id__in=asked).delete()
    Compaction.objects.filter(conversation=run.conversation_id, turn_at__gte=old.turn_at).delete()
    keeping.replace(gone.values_list("pk", flat=True), by=run.message_id)
    gone.delete()
    talk = Conversation.objects.filter(pk=run.conversation_id, title=runs.title_of(old.content))
    if not Message.objects.filter(conversation=run.conversation_id, turn_at__lt=old.turn_at).exists():
        talk.update(title=runs.title_of(run.message.content))
    if going:
        runs.promote([run.conversation_id])
        run.refresh_from_db(fields=["active", "not_before"])
