"""What tests of chat begin with: a choice of who answers, and runs that workers may take."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Actor
from agents.brain import Choice
from agents.models import Agent
from agents.providers.base import ProviderSpec, ToolCall
from chat.models import Conversation, Run
from chat.services import conversations, leases, proposing, runs
from companions.models import Companion

TOOLS = ["service_status", "service_restart", "service_logs"]
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


@pytest.fixture
def devops(workspace) -> Companion:
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="Argus", tools=TOOLS)
    return Companion.objects.create(workspace=workspace, type="devops", name="Argus", agent=agent)


@pytest.fixture
def step(say, devops, member):
    """Puts a step's calls through the gate for a new run; gives the run."""

    def propose(*calls: tuple[str, dict | None]) -> Run:
        run = say("Do it", into=conversations.new(devops, by=member))
        [claim] = leases.claim("test", limit=10)
        named = [ToolCall(f"call_1_{place}", name, given) for place, (name, given) in enumerate(calls, 1)]
        parts = [
            {"type": "tool_call", "call_id": one.call_id, "name": one.name, "arguments": one.arguments or {}}
            for one in named
        ]
        proposing.propose(
            proposing.Step(
                run_id=claim.run_id, attempt=claim.attempt, number=1, seq=10, parts=parts, usage=None, calls=named
            )
        )
        run.refresh_from_db()
        return run

    return propose
