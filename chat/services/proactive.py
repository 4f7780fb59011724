"""What agents write to people by themselves: into the conversation that a person has with the agent, unread.

That conversation's id is made of the agent and the person, and a message's of the idempotency key and the person, so
that neither is ever there twice, however many write at once or write again.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from accounts.models import User
from agents.models import Agent
from agents.tools.registry import NotSent
from approvals.preferences import MESSAGE
from approvals.services import audit, notices
from chat.models import Conversation, Message, MessageRole
from core import ids


@transaction.atomic
def write(agent: Agent, people: Iterable[User], *, text: str, key: UUID, on_behalf_of: UUID | None = None) -> int:
    """Put what the agent says into its conversation with each of these people; gives how many were told now.

    Who was told by this `key` before is not told again. Raises NotSent where a conversation is deleted meanwhile.
    """
    told = [one for one in sorted(people, key=lambda one: one.pk) if _put(agent, one, text, key)]
    if told:
        whom = notices.Audience(MESSAGE, User.objects.filter(pk__in=[one.pk for one in told]))
        notices.tell(agent.workspace_id, "agent.wrote", {"name": agent.name, "agent": agent.slug}, whom)
    audit.record(
        *(
            audit.Entry(
                type="agent.wrote",
                workspace_id=agent.workspace_id,
                who=audit.agent(agent.pk, on_behalf_of, agent.slug),
                target=("message", ids.derived(key, one.pk)),
                session_id=ids.derived(agent.pk, one.pk),
                data={"to": str(one.pk), "key": str(key)},
            )
            for one in told
        )
    )
    return len(told)


def _put(agent: Agent, person: User, text: str, key: UUID) -> bool:
    """Store the message for one person, unless it is there."""
    conversation = Conversation(
        id=ids.derived(agent.pk, person.pk), workspace_id=agent.workspace_id, user=person, agent=agent, title=agent.name
    )
    Conversation.objects.bulk_create([conversation], ignore_conflicts=True)
    rows = Conversation.objects.filter(pk=conversation.pk)
    if not rows.select_for_update(no_key=True).exists():
        raise NotSent(f"The conversation with {person} was just deleted.")
    message = Message(
        id=ids.derived(key, person.pk),
        workspace_id=agent.workspace_id,
        conversation=conversation,
        role=MessageRole.ASSISTANT,
        content=text,
        parts=[{"type": "text", "text": text}],
        metadata={"proactive": True},
    )
    if Message.objects.filter(pk=message.pk).exists():
        return False
    rows.update(
        unread_from=Coalesce(F("unread_from"), Now()),  # before the message is stored, which so is not older
        updated_at=Now(),
        archived=False,
        last_seq=F("last_seq") + 1,  # a conversation in which nothing was numbered has no past that a run would read
    )
    message.save(force_insert=True)
    return True
