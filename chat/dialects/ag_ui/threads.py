"""With whom a thread is, which conversation it stands for, and how far that has come."""

from accounts.models import Actor
from agents.services.switches import UnknownAgent
from chat.models import Conversation, Run
from chat.services import addressing, continuing, conversations
from core.errors import Invalid

KINDS = ("companion", "agent")
"""Whom a path may name. A companion comes first: it speaks in its agent's stead, with the tools left to it."""


def find(thread_id: str, name: str, *, by: Actor) -> Conversation:
    """The caller's conversation that this thread stands for, by the client's name or by its id, or a new one.

    Raises UnknownAgent where nobody of this name answers people, Invalid where the thread is with somebody else.
    """
    found = conversations.of_client(thread_id, by=by)
    addresses = [(kind, name) for kind in KINDS]
    if found is not None and addressing.of(found) in addresses:
        return found
    made = addressing.first(addresses, by=by, client_id=thread_id)
    if made is None:
        raise UnknownAgent(f"There is no companion {name[:60]!r}, and no agent of this slug that answers people.")
    if found is not None:
        raise Invalid.field("threadId", f"The thread is with the {' '.join(addressing.of(found))}.", "mismatch")
    return made


def last_run(conversation: Conversation) -> Run | None:
    """The run that has the conversation's turn, else the one that came last; None where nothing was said yet."""
    if conversation._state.adding:
        return None
    return continuing.last(conversation.pk)
