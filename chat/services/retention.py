"""Conversations whose time is over, as their workspace has it: deleted an hour later at the latest.

What memory keeps of what was said in them word for word goes with them; facts drawn from it are memories of their own,
with a time of their own. What was done and who approved it stays: that is evidence, and the log's.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import Workspace
from approvals.services import audit
from chat.models import Conversation, Run
from chat.services import forgetting
from core.ledger import SYSTEM
from memory.models import Author
from memory.services import expiring
from memory.services.entries import By

AT_ONCE = 100  # conversations of one transaction
BY = By(Author.MANAGER, SYSTEM)


def sweep() -> int:
    """Delete what is due, some at a time with one event each; gives how many conversations went."""
    kept = Workspace.objects.filter(conversation_days__gt=0).values_list("pk", "conversation_days")
    return sum(_of(Conversation.objects.filter(workspace=pk), days) for pk, days in kept)


def _of(conversations: QuerySet[Conversation], days: int) -> int:
    # What is under way goes on; a conversation below another goes with it.
    going = Run.objects.filter(ended_at=None).values("conversation")
    due = conversations.filter(updated_at__lt=Now() - timedelta(days=days), parent=None).exclude(pk__in=going)
    gone = 0
    while some := _some(due):
        gone += some
    return gone


@transaction.atomic
def _some(due: QuerySet[Conversation]) -> int:
    locked = list(due.order_by("pk").select_for_update(no_key=True, skip_locked=True)[:AT_ONCE])
    if not locked:
        return 0
    ids = [one.pk for one in locked]
    for conversation in locked:
        forgetting.forget_actions(conversation, by=BY)
    expiring.drop_said(ids)
    Conversation.objects.filter(pk__in=ids).delete()
    told = {"conversations": len(ids)}
    audit.record(
        audit.Entry(type="conversation.expired", workspace_id=locked[0].workspace_id, who=SYSTEM, data=told),
    )
    return len(ids)
