"""Conversations that people have with an agent or a team itself, and not with a companion."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import IntegerField, OuterRef, QuerySet, Subquery

from accounts.models import Actor, Role
from agents.models import Agent, AgentKind, AgentTeam
from agents.services.switches import UnknownAgent
from chat.models import Conversation, Message
from chat.services.background import AgentOff
from chat.services.conversations import UnknownSession
from core import ids
from core.errors import Forbidden

MOST_COUNTED = 1_000
"""Of so many and more messages or people the count says so many: lists do not grow dear with what was said."""

_LAST = """
SELECT message.* FROM unnest(%(conversations)s::uuid[]) AS newest(id)
CROSS JOIN LATERAL (
    SELECT id, role, content, parts, created_at, turn_at FROM chat_message
    WHERE conversation_id = newest.id ORDER BY turn_at DESC, created_at DESC LIMIT %(limit)s) AS message
ORDER BY message.turn_at DESC, message.created_at DESC, message.id DESC LIMIT %(limit)s
"""


class InBackground(Forbidden):
    """The agent works by itself; it answers managers, and whom it wrote to."""

    code = "background_agent"


class _Counted(Subquery):
    """How many rows a subquery has."""

    template = "(SELECT count(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


def open_(partner: Agent | AgentTeam, *, by: Actor, conversation_id: UUID | None, title: str = "") -> Conversation:
    """The conversation to go on with, or a new one that is not stored yet.

    Raises UnknownSession, AgentOff for an agent that is switched off, InBackground; of a team that is switched off the
    run's beginning says so.
    """
    if isinstance(partner, Agent) and not partner.enabled:
        raise AgentOff(f"{partner.name} is switched off.")
    if conversation_id is not None:
        return find(conversation_id, partner, by=by)
    if isinstance(partner, Agent) and partner.kind == AgentKind.MANAGER and not by.may(Role.MANAGER):
        raise InBackground(f"{partner.name} works in the background. Answer in a conversation that it began with you.")
    return Conversation(
        id=ids.new(),
        workspace=by.workspace,
        user=by.user,
        agent=partner if isinstance(partner, Agent) else None,
        team=partner if isinstance(partner, AgentTeam) else None,
        title=title[: settings.TITLE_LIMIT],
    )


def create(agent: Agent, *, by: Actor, title: str = "") -> Conversation:
    """A stored conversation with an agent in which nothing is said yet; raises AgentOff, InBackground."""
    conversation = open_(agent, by=by, conversation_id=None, title=title)
    conversation.save(force_insert=True)
    return find(conversation.pk, agent, by=by)


def find(conversation_id: UUID, partner: Agent | AgentTeam, *, by: Actor) -> Conversation:
    """The caller's conversation with this one; raises UnknownSession, also for one of theirs with somebody else."""
    found: Conversation | None = _with(partner, by).filter(pk=conversation_id).first()
    if found is None:
        raise UnknownSession(f"No conversation {conversation_id} with {partner.name} is yours.")
    return found


def listed(agent: Agent, *, by: Actor, limit: int, offset: int = 0) -> list[Conversation]:
    """The caller's conversations with an agent, the most recent first, each with its `message_count`."""
    return list(_with(agent, by).order_by("-updated_at", "-id")[offset : offset + limit])


def said(
    partner: Agent | AgentTeam, *, by: Actor, limit: int, conversation: Conversation | None = None
) -> list[Message]:
    """The last messages that the caller and this one said, in one conversation or in all of theirs, oldest first."""
    if conversation is not None:
        where = [conversation.pk]
    else:  # of so many messages none is in an older one
        where = list(_with(partner, by).order_by("-updated_at", "-id").values_list("pk", flat=True)[:limit])
    return list(Message.objects.raw(_LAST, {"conversations": where, "limit": limit}))[::-1]


def agents(actor: Actor) -> QuerySet[Agent]:
    """The workspace's agents, each with `user_count` and `message_count` of what people say to the agent itself."""
    its = {"agent": OuterRef("pk"), "user__isnull": False, "parent": None, "external": False, "quoted": False}
    direct = Conversation.objects.filter(**its)
    messages = Message.objects.filter(**{f"conversation__{name}": value for name, value in its.items()})
    rows: QuerySet[Agent] = Agent.objects.visible_to(actor).filter(bare=False)
    return rows.annotate(
        user_count=_Counted(direct.values("user").distinct()[:MOST_COUNTED]),
        message_count=_Counted(messages.values("pk")[:MOST_COUNTED]),
    )


def agent(actor: Actor, agent_id: UUID) -> Agent:
    """One of them; raises UnknownAgent."""
    found: Agent | None = agents(actor).filter(pk=agent_id).first()
    if found is None:
        raise UnknownAgent(f"There is no agent {agent_id} in this workspace.")
    return found


def _with(partner: Agent | AgentTeam, by: Actor) -> Any:
    """The caller's conversations with this one that are kept here, and not by their client."""
    whose = {"agent": partner} if isinstance(partner, Agent) else {"team": partner}
    messages = Message.objects.filter(conversation=OuterRef("pk")).values("pk")[:MOST_COUNTED]
    rows = Conversation.objects.visible_to(by).filter(quoted=False, **whose)
    rows = rows.select_related("companion", "agent", "team__lead", "workspace")
    return rows.annotate(message_count=_Counted(messages))
