"""Taking away the beginning of a conversation, or all that was said in it, while the conversation stays."""

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import Actor
from chat.models import Compaction, Conversation, Message, Run, RunState
from chat.services import conversations, runs
from chat.services.runs import ConversationBusy


def truncate(conversation: Conversation, *, keep: int, by: Actor) -> int:
    """Remove all messages but the `keep` most recent; gives how many went.

    As where a session is deleted, what answers a message that goes is stopped, images go, and what is remembered stays.
    Every summary goes, since each tells of the beginning. Raises UnknownSession, and ConversationBusy where a model is
    answering a message that stays: it was told what is to go.
    """
    with transaction.atomic():
        locked = Conversation.objects.select_for_update(no_key=True).filter(pk=conversation.pk).first()
        if locked is None:
            raise conversations.UnknownSession("The session was deleted meanwhile.")
        said = Message.objects.filter(conversation=locked).order_by("turn_at", "created_at")
        gone = _before(said.reverse().only("turn_at", "created_at")[keep - 1 : keep].first()) if keep else Q()
        if gone is None or not (count := said.filter(gone).count()):
            return 0
        _stop(locked, said.filter(gone).order_by(), by)
        first = said.values_list("content", flat=True)[:1].get()
        said.filter(gone).order_by().delete()
        Compaction.objects.filter(conversation=locked).delete()
        if locked.title and first.lstrip().startswith(locked.title.rstrip("…")):
            Conversation.objects.filter(pk=locked.pk).update(title="")  # it quotes what is gone
        runs.promote([locked.pk])
    return count


def _before(oldest: Message | None) -> Q | None:
    """The messages before the oldest that stays; None where there are fewer than may stay."""
    if oldest is None:
        return None
    return Q(turn_at__lt=oldest.turn_at) | Q(turn_at=oldest.turn_at, created_at__lt=oldest.created_at)


def _stop(locked: Conversation, gone: "QuerySet[Message]", by: Actor) -> None:
    """Let go of the runs that answer these messages, with the conversations that were had for them."""
    going = conversations.under_way(locked)
    roots = {run.root_id or run.pk for run in going}
    theirs = set(Run.objects.filter(pk__in=roots, message__in=gone).values_list("pk", flat=True))
    stays = [run for run in going if (run.root_id or run.pk) not in theirs]
    if working := next((run for run in stays if run.state == RunState.RUNNING), None):
        raise ConversationBusy(
            "An answer is under way. Wait for it or cancel its run, then truncate again; keep_count 0 stops it too.",
            extra={"run_id": str(working.root_id or working.pk)},
        )
    conversations.let_go([run for run in going if run not in stays], by=by, why="What it answered was deleted.")
    asked = Run.objects.filter(conversation=locked, message__in=gone).values("pk")
    Conversation.objects.filter(parent=locked, runs__root_id__in=asked).delete()
