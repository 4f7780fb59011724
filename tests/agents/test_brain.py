"""The Brain's choice of provider and model."""

import asyncio
import threading
from dataclasses import replace

import pytest

from agents import brain, environment, listings
from agents.models import Provider
from agents.providers import prices
from agents.providers.base import UnknownModel
from tests.servers import openai_scripts, openai_server


@pytest.fixture
def upstream(server, settings):
    """OPENAI_BASE_URL reaches the server."""
    settings.OPENAI_BASE_URL = server.base_url
    return server


def chosen(choice):
    return choice.provider.name, choice.model, choice.fallback


def test_without_a_provider_the_rehearsal_answers(workspace):
    assert chosen(brain.choose(workspace, asked=None)) == ("rehearsal", "rehearsal", False)
    assert chosen(brain.choose(workspace, asked="rehearsal-reasoning"))[1] == "rehearsal-reasoning"


def test_a_model_that_nobody_has_is_unknown_and_the_refusal_names_what_there_is(workspace):
    with pytest.raises(UnknownModel, match="rehearsal, rehearsal-reasoning") as caught:
        brain.choose(workspace, asked="gpt-4o")
    assert (caught.value.code, caught.value.status) == ("unknown_model", 404)


def test_without_any_provider_there_is_no_brain(workspace, settings):
    settings.REHEARSAL = False
    assert not brain.available(workspace)
    with pytest.raises(brain.BrainUnavailable):
        brain.choose(workspace, asked=None)


def test_an_upstream_answers_with_the_first_model_that_it_lists(workspace, upstream):
    assert chosen(brain.choose(workspace, asked=None)) == ("openai", "t50-i20", False)


def test_a_name_that_the_upstream_does_not_list_is_passed_on(workspace, upstream):
    assert chosen(brain.choose(workspace, asked="gpt-4o")) == ("openai", "gpt-4o", False)


def test_the_rehearsal_can_be_asked_by_name_beside_an_upstream(workspace, upstream):
    assert chosen(brain.choose(workspace, asked="rehearsal"))[0] == "rehearsal"


def test_the_request_comes_before_the_person_the_agent_and_the_workspace(workspace, upstream):
    workspace.default_model = "workspaces"
    assert brain.choose(workspace, asked=None).model == "workspaces"
    assert brain.choose(workspace, asked=None, agent_model="agents").model == "agents"
    assert brain.choose(workspace, asked=None, preferred="mine", agent_model="agents").model == "mine"
    assert brain.choose(workspace, asked="this", preferred="mine", agent_model="agents").model == "this"


@pytest.mark.parametrize("asked", [None, "gpt-4o"])
def test_an_upstream_that_is_down_is_never_replaced_in_silence(workspace, upstream, asked):
    upstream.stop()
    with pytest.raises(brain.BrainUnavailable, match="connection refused") as caught:
        brain.choose(workspace, asked=asked)
    assert (caught.value.code, caught.value.status) == ("brain_unavailable", 503)
    assert not brain.available(workspace)


@pytest.mark.parametrize("asked", [None, "gpt-4o"])
def test_a_workspace_that_allows_fallback_gets_it_marked(workspace, upstream, asked):
    upstream.stop()
    workspace.allow_fallback = True
    assert chosen(brain.choose(workspace, asked=asked)) == ("rehearsal", "rehearsal", True)


def test_a_fallback_takes_the_next_in_line(workspace):
    workspace.allow_fallback = True
    assert chosen(brain.choose(workspace, asked="gone", preferred="rehearsal-reasoning")) == (
        "rehearsal", "rehearsal-reasoning", True,
    )  # fmt: skip


def test_an_upstream_that_comes_back_is_found_again(workspace, upstream, monkeypatch):
    monkeypatch.setattr(listings, "SICK_SECONDS", 0.1)
    upstream.stop()
    assert not brain.available(workspace)
    upstream.start()
    openai_server.wait_until(lambda: brain.available(workspace))


def test_an_upstream_that_refuses_the_key_is_no_brain(workspace, upstream):
    async def refuse(wire):
        await openai_scripts.status(wire, "401")

    upstream.models_script = refuse
    with pytest.raises(brain.BrainUnavailable, match="refused with 401"):
        brain.choose(workspace, asked=None)


def test_an_upstream_without_a_list_answers_to_any_name(workspace, upstream):
    upstream.models = None
    assert chosen(brain.choose(workspace, asked="mine")) == ("openai", "mine", False)
    with pytest.raises(brain.BrainUnavailable, match="lists no model"):
        brain.choose(workspace, asked=None)


def test_an_upstream_that_hangs_is_waited_for_once_and_not_long(workspace, upstream, monkeypatch):
    async def hang(wire):
        await asyncio.sleep(3600)

    upstream.models_script = hang
    monkeypatch.setattr(listings, "FIRST_WAIT_SECONDS", 0.2)
    with pytest.raises(brain.BrainUnavailable, match="within 0.2 seconds"):
        brain.choose(workspace, asked=None)
    [(provider, question)] = listings._asking.items()  # it was begun so long ago that nobody waits for it any more
    listings._asking[provider] = replace(question, began=question.began - 3600)
    monkeypatch.setattr(listings, "FIRST_WAIT_SECONDS", 3600)
    with pytest.raises(brain.BrainUnavailable, match="within 3600 seconds"):
        brain.choose(workspace, asked=None)
    assert len(upstream.requests) == 1
    upstream.stop()
    openai_server.wait_until(lambda: not listings._asking)


def test_a_warm_choice_asks_neither_the_database_nor_the_upstream(workspace, upstream, django_assert_num_queries):
    brain.choose(workspace, asked="t5-i0")
    with django_assert_num_queries(0):
        for _ in range(100):
            brain.choose(workspace, asked="t5-i0", preferred="x", agent_model="y")
    assert len(upstream.requests) == 1


def test_many_who_come_at_once_ask_once(workspace, upstream):
    brain.providers(workspace.pk)
    listings.forget()
    openai_server.wait_until(lambda: not listings._asking)
    before = len(upstream.requests)
    listings.forget()
    threads = [threading.Thread(target=brain.models, args=(workspace,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(upstream.requests) == before + 1


def row(workspace, server, **fields):
    return Provider.objects.create(
        **{"workspace": workspace, "name": "own", "base_url": server.base_url, "api_key": "sk-own", **fields}
    )


def test_a_provider_that_is_saved_counts_at_once(workspace, server):
    assert brain.choose(workspace, asked=None).provider.name == "rehearsal"
    saved = row(workspace, server, default_model="t5-i0")
    choice = brain.choose(workspace, asked=None)
    assert chosen(choice) == ("own", "t5-i0", False)
    assert choice.provider.api_key == "sk-own"
    assert "sk-own" not in repr(choice)
    saved.delete()
    assert brain.choose(workspace, asked=None).provider.name == "rehearsal"


def test_a_provider_belongs_to_its_workspace(workspace, other_workspace, server):
    row(workspace, server)
    assert brain.choose(other_workspace, asked=None).provider.name == "rehearsal"
    with pytest.raises(brain.BrainUnavailable):
        brain.spec(other_workspace.pk, "own")
    assert brain.spec(workspace.pk, "own").base_url == server.base_url


def test_a_row_takes_the_place_of_the_environments_provider_or_takes_it_away(workspace, upstream):
    saved = row(workspace, upstream, name="openai", model_names=["only-this"])
    assert brain.choose(workspace, asked=None).model == "only-this"
    with pytest.raises(UnknownModel):
        brain.choose(workspace, asked="gpt-4o")
    saved.enabled = False
    saved.save()
    assert brain.choose(workspace, asked=None).provider.name == "rehearsal"


def test_the_lower_priority_is_asked_first(workspace, server):
    row(workspace, server, name="second", priority=50)
    row(workspace, server, name="first", priority=5)
    assert brain.choose(workspace, asked="t5-i0").provider.name == "first"


def test_models_are_listed_with_what_is_known_of_them(workspace, upstream):
    upstream.models = ["gpt-4o", "home-made"]
    found = {model.id: model for model in brain.models(workspace)}
    assert list(found) == ["gpt-4o", "home-made", "rehearsal", "rehearsal-reasoning"]
    assert found["gpt-4o"].context_window == 128_000
    assert found["gpt-4o"].price is None  # the server is not its maker's
    assert (found["home-made"].context_window, found["home-made"].capabilities) == (None, ("chat",))


def test_prices_hold_where_the_makers_sell():
    assert prices.cost("https://api.openai.com/v1", "gpt-4o", 1_000_000, 100_000) == 3.5
    assert prices.cost("https://proxy.example/v1", "gpt-4o", 1_000_000, 100_000) is None
    assert prices.cost("https://api.openai.com/v1", "gpt-99", 1, 1) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("gpu.lan:8080", "http://gpu.lan:8080"),
        ("http://gpu.lan:8080/v1", "http://gpu.lan:8080"),
        ("https://gpu.lan", "https://gpu.lan:443"),
        ("http://[::1]:11434/", "http://[::1]:11434"),
        ("gpu.lan:port", "http://gpu.lan:port"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_ollamas_host_may_be_written_as_ollama_takes_it(host, url):
    assert environment.ollama_url(host) == url


@pytest.mark.parametrize("url", ["http://[::1", "nonsense", "http://gpu.lan:port/v1", "ftp://gpu.lan/v1"])
def test_an_address_that_is_none_is_no_brain(workspace, settings, url):
    settings.OPENAI_BASE_URL = settings.OLLAMA_HOST = url
    with pytest.raises(brain.BrainUnavailable):
        brain.choose(workspace, asked=None)


def test_a_listed_latest_answers_to_its_short_name(workspace, ollama, settings):
    ollama.models = ["llama3.2:latest"]
    settings.OLLAMA_HOST = ollama.base_url
    assert brain.choose(workspace, asked="llama3.2").model == "llama3.2"
    with pytest.raises(UnknownModel):
        brain.choose(workspace, asked="llama4")


def test_the_environments_providers_stand_in_their_order(settings):
    settings.OPENAI_API_KEY = settings.GROQ_API_KEY = settings.OPENROUTER_API_KEY = "k"
    settings.OLLAMA_HOST = "localhost"
    found = {spec.name: spec for spec in environment.providers()}
    assert list(found) == ["openai", "groq", "openrouter", "ollama", "rehearsal"]
    assert {name: spec.any_model for name, spec in found.items()} == {
        "openai": False, "groq": False, "openrouter": True, "ollama": False, "rehearsal": False,
    }  # fmt: skip
    assert found["openai"].base_url == "https://api.openai.com/v1"
