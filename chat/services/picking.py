"""Whom a message is for, where its sender picks a companion or an agent by a name or an id."""

from uuid import UUID

from accounts.models import Actor
from agents.models import Agent
from agents.services.switches import UnknownAgent
from chat.models import Conversation
from chat.services import addressing, conversations
from chat.services.addressing import Address
from companions import directory
from companions.models import Companion
from core.errors import Invalid


def conversation(actor: Actor, *, session_id: UUID | None, whom: str = "", channel: str = "") -> Conversation:
    """The session to go on with, or a new one with who is picked, else with the workspace's first companion.

    `whom` is the type or the id of a companion, or the slug or the id of an agent that answers people. Raises
    UnknownSession, UnknownAgent, UnknownCompanion, and Invalid where the session is with somebody else.
    """
    if session_id is None:
        made = _begun(actor, whom) if whom else conversations.new(directory.first(actor), by=actor)
        made.channel = channel
        return made
    found = conversations.get(session_id, by=actor)
    if whom and not _is_with(found, whom):
        raise Invalid.field("agent_id", "The conversation is with somebody else.", "mismatch")
    return found


def _begun(actor: Actor, whom: str) -> Conversation:
    """A new conversation with a companion of this name, else with an agent; raises UnknownAgent."""
    made = addressing.first(_addresses(actor, whom), by=actor)
    if made is None:
        raise UnknownAgent(f"There is no agent and no companion {whom[:60]!r} in this workspace that answers people.")
    return made


def _addresses(actor: Actor, whom: str) -> list[Address]:
    """Who may be meant, by an id or by a name."""
    try:
        pk = UUID(whom)
    except ValueError:
        return [("companion", whom), ("agent", whom)]
    types = Companion.objects.visible_to(actor).filter(pk=pk).values_list("type", flat=True)
    slugs = Agent.objects.visible_to(actor).filter(pk=pk).values_list("slug", flat=True)
    return [*(("companion", one) for one in types), *(("agent", one) for one in slugs)]


def _is_with(found: Conversation, whom: str) -> bool:
    companion = found.companion
    agent = companion.agent if companion else found.agent
    known = {companion.type, str(companion.pk)} if companion else set()
    return whom.lower() in known | ({agent.slug, str(agent.pk)} if agent else set())
