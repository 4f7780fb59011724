"""Taking what a person had forgotten out of their transcripts, and out of all that quotes these.

Messages keep their place, and say `(forgotten)` where nothing is left of them. Summaries of their conversations go, to
be made anew; so do logs of events, which are there for speed alone.
"""

from collections.abc import Iterable
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from accounts.models import IdempotentRequest
from approvals.services import erasing
from chat import eventlog
from chat.models import Action, Compaction, Conversation, Message, MessageRole, Run, RunState
from chat.models.runs import WAITING
from chat.transcript import Part
from core.errors import Conflict
from memory.models import Owner
from memory.scrub import FORGOTTEN, Scrub
from memory.services import forgetting
from memory.services.entries import By

MOST_AT_ONCE = 2_000  # messages that are held in memory together


class StillTold(Conflict):
    """An answer is under way that was told what is to be forgotten."""

    code = "still_told"
    default_detail = "An answer that was told of this is under way. Wait for it or cancel it, then forget again."


@forgetting.transcript
def scrub(owner: Owner, what: Scrub, by: By) -> dict[UUID, str]:
    """Take it out of the owner's conversations; gives the new texts of changed messages. Raises StillTold."""
    theirs = Conversation.objects.filter(workspace=owner.workspace_id, user=owner.user_id)
    told = Run.objects.filter(conversation__in=theirs, memories__has_any_keys=[str(one) for one in what.entries])
    saying = Message.objects.filter(conversation__in=theirs, pk__in=what.touched)
    ids = {*saying.values_list("conversation_id", flat=True), *told.values_list("conversation_id", flat=True)}
    ids |= set(Conversation.objects.filter(parent__in=ids).values_list("pk", flat=True))
    conversations = list(Conversation.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk"))
    if (
        Run.objects.filter(conversation__in=ids)
        .filter(state__in=[RunState.RUNNING, *WAITING])
        .exists()
    ):
        raise StillTold
    changed = _messages(saying, told, what)
    for conversation in conversations:
        if conversation.title and what.tells(conversation.title, near=True):
            Conversation.objects.filter(pk=conversation.pk).update(title="")
    Compaction.objects.filter(conversation__in=ids).delete()
    _actions(owner.workspace_id, ids, what, by)
    _answers_given_again(owner, what)
    for run_id in Run.objects.filter(conversation__in=ids).values_list("pk", flat=True):
        transaction.on_commit(partial(eventlog.drop, run_id), robust=True)
    return changed


def _messages(saying: "Iterable[Message]", told: "Iterable[Run]", what: Scrub) -> dict[UUID, str]:
    """Scrub the messages that say it, the answers to them, and the answers that were told it."""
    rows = list(saying)
    turns = Q(pk__in=[])
    for one in rows[:MOST_AT_ONCE]:
        turns |= Q(conversation=one.conversation_id, turn_at=one.turn_at, role=MessageRole.ASSISTANT)
    answers = [run.answer_id for run in told if run.answer_id] + [run.message_id for run in told]
    near = list(Message.objects.filter(turns | Q(pk__in=answers)).exclude(pk__in=[one.pk for one in rows]))
    changed: dict[UUID, str] = {}
    stored: list[Message] = []
    for message in [*rows, *near]:
        before, parts = message.content, message.parts
        if message.pk in what.whole:
            message.content, message.parts = FORGOTTEN, [{"type": "text", "text": FORGOTTEN}]
            message.attachments.all().delete()
        else:
            message.content = what.text(before, near=True, spans=what.spans.get(message.pk, ()))
            message.parts = [_part(part, what, message.pk) for part in message.parts]
        if (message.content, message.parts) != (before, parts):
            message.metadata = {**message.metadata, "forgotten": True}
            stored.append(message)
        if message.content != before:
            changed[message.pk] = message.content
    Message.objects.bulk_update(stored, ["content", "parts", "metadata"], batch_size=500)
    return changed


def _part(part: Part, what: Scrub, message_id: UUID) -> Part:
    """A part of a message without what is forgotten."""
    if part["type"] == "text":
        return {**part, "text": what.text(part["text"], near=True, spans=what.spans.get(message_id, ()))}
    kept = {"type", "call_id", "name", "ok", "attachment_id", "media_type", "url"}
    return {name: value if name in kept else what.json(value, near=True) for name, value in part.items()}


def _actions(workspace_id: UUID, conversations: set[UUID], what: Scrub, by: By) -> None:
    """Scrub what tools were told and gave there, with the requests to countersign it and the log's copies of it."""
    blanked: list[UUID] = []
    for action in Action.objects.filter(conversation__in=conversations):
        texts = ("result", "summary", "late_result")
        before = [action.arguments, *(getattr(action, name) for name in texts)]
        action.arguments = what.json(action.arguments, near=True)
        for name in texts:
            setattr(action, name, what.text(getattr(action, name), near=True))
        if before != [action.arguments, *(getattr(action, name) for name in texts)]:
            action.save(update_fields=["arguments", *texts])
            blanked.append(action.pk)
    if blanked:
        erasing.blank(blanked, workspace_id=workspace_id, by=by.who)


def _answers_given_again(owner: Owner, what: Scrub) -> None:
    """Scrub what a repeated request is given again."""
    rows = IdempotentRequest.objects.filter(workspace=owner.workspace_id, user=owner.user_id, status__isnull=False)
    for row in rows.exclude(response=None).only("pk", "response").iterator():
        if (left := what.json(row.response, near=True)) != row.response:
            IdempotentRequest.objects.filter(pk=row.pk).update(response=left, created_at=F("created_at"))
