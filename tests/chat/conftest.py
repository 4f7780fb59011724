"""What tests of chat begin with: a choice of who answers, and runs that workers may take."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Actor
from agents.brain import Choice
from agents.providers.base import ProviderSpec
from chat.models import Conversation, Run
from chat.services import conversations, runs
from companions.models import Companion

REHEARSAL = Choice(ProviderSpec(name="rehearsal", kind="rehearsal"), "rehearsal")


@pytest.fixture
def conversation(member: Actor, smart_home: Companion) -> Conversation:
    """A stored conversation in which nothing was said."""
    return conversations.create(smart_home, by=member)


@pytest.fixture
def say(member: Actor, smart_home: Companion) -> Callable[..., Run]:
    """Starts a run: in a conversation of its own unless one is named."""

    def start(text: str = "Hello", *, into: Conversation | None = None, **options: Any) -> Run:
        conversation = into or conversations.new(smart_home, by=member)
        return runs.start(conversation, text=text, by=member, choice=REHEARSAL, **options)

    return start
