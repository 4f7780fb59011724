"""A conversation that is there already, as answering in it needs it: with whom it is, and where.

A join of all of these took Django and PostgreSQL several milliseconds a message, and mostly it is with a companion that
this process knows.
"""

from accounts.models import Actor
from chat.models import Conversation
from chat.querysets import ConversationQuerySet
from companions import directory


def one(rows: ConversationQuerySet, *, by: Actor) -> Conversation | None:
    """The first of these rows of the caller's workspace, whole; None where there is none."""
    for found in rows[:1]:
        return whole(found, by=by)
    return None


def whole(conversation: Conversation, *, by: Actor) -> Conversation:
    """The same, with its workspace, and the companion, agent or team that it is with."""
    conversation.workspace = by.workspace
    if conversation.companion_id and (known := directory.of_id(by, conversation.companion_id)):
        conversation.companion = known
    # Whoever else it is with is read here, where queries may be made, and not where an answer is on its way.
    _ = conversation.companion and conversation.companion.agent, conversation.agent
    _ = conversation.team and conversation.team.lead
    return conversation
