"""What tests of this dialect begin with: agents and teams that people talk to, and clients of scoped keys."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Actor
from accounts.services import keys
from agents.models import Agent, AgentTeam, TeamMember
from chat.models import Conversation
from chat.services import partners, runs
from tests.cast import Api
from tests.chat.answering import answer_all
from tests.chat.conftest import REHEARSAL

Talk = Callable[..., Conversation]


@pytest.fixture
def agent(workspace) -> Agent:
    """An agent that no companion speaks as."""
    return Agent.objects.create(workspace=workspace, slug="ada", name="Ada", description="Mathematics.")


@pytest.fixture
def other_agent(workspace) -> Agent:
    """Another of the same workspace."""
    return Agent.objects.create(workspace=workspace, slug="bob", name="Bob")


@pytest.fixture
def team(workspace, agent, other_agent) -> AgentTeam:
    """A team of the two."""
    made = AgentTeam.objects.create(workspace=workspace, slug="both", name="Both", lead=agent)
    for place, one in enumerate((agent, other_agent)):
        TeamMember.objects.create(team=made, agent=one, place=place)
    return made


@pytest.fixture
def foreign_agent(other_workspace) -> Agent:
    """One of the other workspace."""
    return Agent.objects.create(workspace=other_workspace, slug="ada", name="Ada of elsewhere")


@pytest.fixture
def talk() -> Talk:
    """Lets a person say something to an agent or a team, and be answered; gives the conversation."""

    def say(by: Actor, to: Any, text: str = "Hello", answer: Any = "An answer.", into: Any = None) -> Conversation:
        conversation = partners.open_(to, by=by, conversation_id=into)
        runs.start(conversation, text=text, by=by, choice=REHEARSAL)
        answer_all(answer)
        return conversation

    return say


@pytest.fixture
def scoped(member) -> Callable[..., Api]:
    """Makes clients of scoped keys: the member's, unless somebody else is named."""

    def make(*scopes: str, of: Actor = member) -> Api:
        kind = {"workspace": of.workspace, "user": of.user, "name": "Tests", "kind": "scoped"}
        return Api(keys.create(**kind, scopes=scopes)[1])

    return make
