"""With whom a conversation is, by kind and name: a companion by its type, an agent or a team by its slug."""

from collections.abc import Iterable

from accounts.models import Actor
from agents.providers.base import UnknownModel
from chat.models import Conversation
from chat.services import conversations, counterparts
from companions import directory
from companions.services import UnknownCompanion
from core.errors import Invalid

Address = tuple[str, str]
"""`companion` and its type, or `agent` or `team` and its slug."""


def new(address: Address | None, *, by: Actor, client_id: str = "") -> Conversation:
    """A conversation that is not stored yet: with the one addressed, or with the workspace's first companion.

    Raises DomainError where there is nobody of this name for the caller.
    """
    if address is None:
        conversation = conversations.new(directory.first(by), by=by)
    else:
        conversation = counterparts.begin(by, "/".join(address))
    conversation.client_id = client_id
    return conversation


def first(addresses: Iterable[Address], *, by: Actor, client_id: str = "") -> Conversation | None:
    """As `new`, with the first of these that there is for the caller; None where there is none of them."""
    for one in addresses:
        try:
            return new(one, by=by, client_id=client_id)
        except (UnknownCompanion, UnknownModel):
            continue
    return None


def of(conversation: Conversation) -> Address:
    """With whom a conversation is."""
    if conversation.companion:
        return "companion", conversation.companion.type
    if conversation.team:
        return "team", conversation.team.slug
    assert conversation.agent is not None, "a conversation has a companion, an agent or a team"
    return "agent", conversation.agent.slug


def check(conversation: Conversation, address: Address | None) -> None:
    """Raises Invalid where a conversation that goes on is with somebody else than the one addressed."""
    if address is not None and of(conversation) != address:
        raise Invalid.field(address[0], f"The conversation is with the {' '.join(of(conversation))}.", "mismatch")
