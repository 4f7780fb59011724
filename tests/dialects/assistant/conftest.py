"""Talks in which something was said, at times that tell them apart."""

from collections.abc import Callable

import pytest

from accounts.models import Actor
from chat.models import Conversation, Message
from chat.services import conversations
from companions.models import Companion


@pytest.fixture
def talk(smart_home: Companion) -> Callable[..., Conversation]:
    """Makes a conversation of turns, a question and an answer each."""

    def make(by: Actor, turns: int = 1, text: str = "", **fields) -> Conversation:
        made = conversations.create(smart_home, by=by)
        Conversation.objects.filter(pk=made.pk).update(**fields)
        kind = {"workspace": by.workspace, "conversation": made}
        for number in range(1, turns + 1):
            asked = Message.objects.create(role="user", content=text or f"question {number}", **kind)
            asked.refresh_from_db()
            Message.objects.create(role="assistant", content=text or f"answer {number}", turn_at=asked.turn_at, **kind)
        made.refresh_from_db()
        return made

    return make
