"""Who answers in another's place: the workspace's chain, abilities in need, and never the rehearsal in silence."""

import pytest

from agents import brain
from agents.models import Agent, Provider
from agents.providers import abilities
from agents.providers.base import UnknownModel
from chat.models import Run
from chat.services import conversations, saying
from companions.models import Companion
from tests.servers import openai_server

VISION = frozenset({"vision"})


@pytest.fixture
def second():
    with openai_server.running(["t7-i0", "t8-i0"]) as server:
        yield server


@pytest.fixture
def two(workspace, server, second):
    """Two real providers, of which the first is asked first."""
    workspace.allow_fallback = True
    for priority, (name, base_url) in enumerate([("one", server.base_url), ("two", second.base_url)]):
        Provider.objects.create(
            workspace=workspace, name=name, kind="openai", base_url=base_url, api_key="k", priority=priority
        )
    return workspace


@pytest.fixture
def devops(workspace):
    agent = Agent.objects.create(workspace=workspace, slug="devops", name="Argus", tools=["service_status"])
    return Companion.objects.create(workspace=workspace, type="devops", name="Argus", agent=agent)


def told(choice):
    return choice and (choice.provider.name, choice.model, choice.fallback)


def test_the_next_real_provider_answers_with_its_default(two):
    assert told(brain.instead(two, of={"one"})) == ("two", "t7-i0", True)


def test_the_offline_provider_does_not_answer_for_a_real_one(two):
    assert brain.instead(two, of={"one", "two"}) is None


def test_the_workspaces_chain_goes_before_and_passes_over_what_cannot_be_had(two):
    two.fallback_models = ["nobody-has-it", "t8-i0"]
    assert told(brain.instead(two, of={"one"})) == ("two", "t8-i0", True)
    two.fallback_models = ["t50-i20"]
    assert brain.instead(two, of={"one"}) is None


def test_the_rehearsal_answers_where_the_workspace_names_it(two):
    two.fallback_models = ["rehearsal"]
    assert told(brain.instead(two, of={"one"})) == ("rehearsal", "rehearsal", True)


def test_nobody_answers_where_the_workspace_does_not_allow_it(two):
    two.allow_fallback = False
    two.fallback_models = ["t8-i0"]
    assert brain.instead(two, of={"one"}) is None


def test_a_message_for_a_model_that_is_not_to_be_had_goes_along_the_chain(two):
    two.fallback_models = ["t8-i0"]
    assert told(brain.choose(two, asked="nobody-has-it")) == ("two", "t8-i0", True)
    two.allow_fallback = False
    with pytest.raises(UnknownModel):
        brain.choose(two, asked="nobody-has-it")


@pytest.fixture
def blind(workspace, server):
    """A provider whose first model is known to see nothing, beside one that sees and one that nobody knows."""
    server.models = ["llama-3.1-8b-instant", "gpt-4o", "mystery"]
    Provider.objects.create(workspace=workspace, name="one", kind="openai", base_url=server.base_url, api_key="k")
    return workspace


@pytest.mark.parametrize("asked", ["llama-3.1-8b-instant", None])
def test_a_model_that_surely_lacks_what_is_needed_is_refused_and_those_that_have_it_are_named(blind, asked):
    with pytest.raises(brain.ModelLacks, match="lacks what this request needs: vision") as caught:
        brain.choose(blind, asked=asked, needs=VISION)
    assert (caught.value.code, caught.value.status) == ("model_lacks", 400)
    assert caught.value.extra["lacks"] == ["vision"]
    assert caught.value.extra["models"][:2] == ["gpt-4o", "mystery"]
    assert brain.choose(blind, asked=asked, needs=frozenset({"tools"})).model == "llama-3.1-8b-instant"


@pytest.mark.parametrize("asked", ["gpt-4o", "mystery", "rehearsal"])
def test_a_model_that_has_it_or_of_which_nothing_is_known_is_asked(blind, asked):
    assert brain.choose(blind, asked=asked, needs=VISION).model == asked


def test_where_fallback_is_allowed_one_that_can_answers(blind):
    blind.allow_fallback = True
    with pytest.raises(brain.ModelLacks):  # the provider's default cannot either, and the rehearsal would only play it
        brain.choose(blind, asked="llama-3.1-8b-instant", needs=VISION)
    blind.fallback_models = ["llama-3.1-8b-instant", "gpt-4o"]
    assert told(brain.choose(blind, asked="llama-3.1-8b-instant", needs=VISION)) == ("one", "gpt-4o", True)
    assert told(brain.choose(blind, asked=None, needs=VISION)) == ("one", "gpt-4o", True)
    assert told(brain.instead(blind, of={"other"}, needs=VISION)) == ("one", "gpt-4o", True)


@pytest.fixture
def toolless(workspace, server, devops):
    """A model of which its provider told that it calls no tools, where the companion offers some."""
    Provider.objects.create(workspace=workspace, name="one", kind="openai", base_url=server.base_url, api_key="k")
    abilities.learn(brain.spec(workspace.pk, "one"), "t5-i0", abilities.complete({"vision"}))
    yield devops
    abilities.forget()


def test_a_message_is_refused_where_its_companion_offers_tools_that_the_model_cannot_call(toolless, api):
    said = {"message": "Hello", "companion": "devops", "model": "t5-i0"}
    answer = api.post("/v1/ai/chat", said)
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["lacks"]) == ("model_lacks", ["tools"])
    assert "t50-i20" in answer.json()["models"]
    assert Run.objects.count() == 0


def test_a_companion_that_offers_none_needs_none(toolless, owner):
    assert saying.needs(conversations.new(toolless, by=owner)) == {"tools"}
    toolless.tools_allowed = ["none_of_its_tools"]
    assert saying.needs(conversations.new(toolless, by=owner)) == set()
