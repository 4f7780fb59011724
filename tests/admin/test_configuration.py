"""Agents, companions and providers, changed in the admin."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import Role, Workspace
from agents import brain
from agents.models import Agent, Provider
from companions.models import Companion
from tests.admin.conftest import PROVIDER_KEY, Home, url
from tests.servers import openai_server
from tests.servers.openai_server import OpenAIServer

Staff = Callable[[Role], Client]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server.running() as server:
        yield server


@pytest.fixture(autouse=True)
def _fresh_brain() -> Iterator[None]:
    brain.forget()
    yield
    brain.forget()


def form_of(**changes: object) -> dict[str, Any]:
    base = {"name": "local", "kind": "openai", "base_url": "http://ollama:11434/v1", "priority": "5", "enabled": "on"}
    return {**base, **changes}


def test_a_provider_is_made_with_a_key_and_an_address_of_this_network(here: Home, staff: Staff) -> None:
    form = form_of(workspace=here[Workspace].pk, api_key="sk-new-0123456789", model_names="one\ntwo")
    assert staff(Role.ADMIN).post(url(Provider, "add"), form).status_code == 302
    row = Provider.objects.get(name="local")
    assert (row.base_url, row.api_key, row.model_names) == (
        "http://ollama:11434/v1",
        "sk-new-0123456789",
        ["one", "two"],
    )


def test_a_provider_without_a_priority_is_asked_after_all_others(here: Home, staff: Staff) -> None:
    Provider.objects.filter(pk=here[Provider].pk).update(priority=700)
    form = form_of(workspace=here[Workspace].pk, priority="")
    assert staff(Role.ADMIN).post(url(Provider, "add"), form).status_code == 302
    assert Provider.objects.get(name="local").priority == 710


@pytest.mark.parametrize(
    "given", ["javascript:alert(1)", "ftp://example.org", "http://", "http://a:b", "//x", "", "http://a b"]
)
def test_what_is_no_address_is_refused(given: str, here: Home, staff: Staff) -> None:
    form = form_of(workspace=here[Workspace].pk, base_url=given)
    assert staff(Role.ADMIN).post(url(Provider, "add"), form).status_code == 200
    assert not Provider.objects.filter(name="local").exists()


def test_an_empty_key_field_keeps_the_key_and_another_replaces_it(here: Home, staff: Staff) -> None:
    client, row = staff(Role.ADMIN), here[Provider]
    page = client.get(url(Provider, "change", row.pk)).text
    assert 'type="password"' in page
    assert client.post(url(Provider, "change", row.pk), form_of()).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.api_key) == ("local", PROVIDER_KEY)
    assert client.post(url(Provider, "change", row.pk), form_of(api_key="sk-another")).status_code == 302
    assert Provider.objects.get(pk=row.pk).api_key == "sk-another"


def test_a_refused_form_does_not_give_the_key_back(here: Home, staff: Staff) -> None:
    page = staff(Role.ADMIN).post(url(Provider, "add"), form_of(api_key="sk-typed-in", base_url="nowhere"))
    assert page.status_code == 200
    assert "sk-typed-in" not in page.text


def test_a_test_says_which_models_there_are(here: Home, server: OpenAIServer, staff: Staff) -> None:
    client, row = staff(Role.ADMIN), here[Provider]
    Provider.objects.filter(pk=row.pk).update(base_url=server.base_url)
    address = url(Provider, "test", row.pk)
    assert client.get(address).status_code == 200
    assert server.requests == []
    page = client.post(address)
    assert "with 2 models: t50-i20, t5-i0" in page.text
    assert len(server.requests) == 1


def test_a_test_says_what_went_wrong(here: Home, staff: Staff) -> None:
    Provider.objects.filter(pk=here[Provider].pk).update(base_url="http://127.0.0.1:9/v1")
    page = staff(Role.ADMIN).post(url(Provider, "test", here[Provider].pk))
    assert page.status_code == 200
    assert "not available" in page.text
    assert PROVIDER_KEY not in page.text


def test_providers_are_shown_and_changed_when_their_keys_cannot_be_opened(
    here: Home, staff: Staff, settings: Any
) -> None:
    client, row = staff(Role.ADMIN), here[Provider]
    settings.SECRET_KEY = "another key for tests, as long as every check wants it to be, and then some"
    client.force_login(here.member.user.__class__.objects.get(email="staff-admin@home.example"))
    for page in (url(Provider, "changelist"), url(Provider, "change", row.pk)):
        assert client.get(page).status_code == 200
    assert "cannot be opened" in client.post(url(Provider, "test", row.pk)).text
    assert client.post(url(Provider, "change", row.pk), form_of(priority="7")).status_code == 302
    assert Provider.objects.values_list("priority", flat=True).get(pk=row.pk) == 7
    assert client.post(url(Provider, "change", row.pk), form_of(api_key="sk-fresh")).status_code == 302
    assert Provider.objects.get(pk=row.pk).api_key == "sk-fresh"


def test_a_manager_tests_no_provider(here: Home, staff: Staff) -> None:
    assert staff(Role.MANAGER).post(url(Provider, "test", here[Provider].pk)).status_code == 403


def test_lists_of_texts_are_edited_as_lines(here: Home, staff: Staff) -> None:
    form = {"slug": "new", "name": "New", "kind": "companion", "autonomy": "advisor"}
    form |= {"tools": " web_fetch \n\ndevice_list\nweb_fetch"}
    form |= {"workspace": str(here[Workspace].pk), "capabilities": "x" * 201}
    client = staff(Role.ADMIN)
    assert "200 characters" in client.post(url(Agent, "add"), form).text
    assert client.post(url(Agent, "add"), {**form, "capabilities": ""}).status_code == 302
    made = Agent.objects.get(slug="new")
    assert (made.tools, made.capabilities) == (["web_fetch", "device_list"], [])
    assert ">web_fetch\ndevice_list</textarea>" in client.get(url(Agent, "change", made.pk)).text.replace("\r", "")


def test_a_tool_that_there_is_not_is_refused_with_those_that_there_are(here: Home, staff: Staff) -> None:
    client, agent, companion = staff(Role.ADMIN), here[Agent], here[Companion]
    form = {"slug": "new", "name": "New", "kind": "companion", "autonomy": "advisor", "tools": "door_unlok"}
    refused = client.post(url(Agent, "add"), {**form, "workspace": str(here[Workspace].pk)}).text
    assert "door_unlok" in refused
    assert "door_unlock" in refused
    assert not Agent.objects.filter(slug="new").exists()
    form = {"type": companion.type, "name": "New", "agent": agent.pk, "mood": "normal", "tools_allowed": "door_unlok"}
    assert "door_unlock" in client.post(url(Companion, "change", companion.pk), form).text
    companion.refresh_from_db()
    assert (companion.name == "New", companion.tools_allowed) == (False, [])


def test_a_companion_is_changed_and_its_layers_ticked(here: Home, staff: Staff) -> None:
    form = {"type": "new", "name": "New", "agent": here[Agent].pk, "memory_layers": ["history"], "enabled": "on"}
    form["mood"] = "friendly"
    assert staff(Role.ADMIN).post(url(Companion, "change", here[Companion].pk), form).status_code == 302
    row = Companion.objects.get(pk=here[Companion].pk)
    assert (row.type, row.memory_layers, row.workspace) == ("new", ["history"], here[Workspace])
    assert row.mood == "friendly"


def test_what_a_companion_is_told_of_each_layer_is_a_number(here: Home, staff: Staff) -> None:
    client, address = staff(Role.ADMIN), url(Companion, "change", here[Companion].pk)
    text = client.get(address).text
    assert 'name="memory_budget"' not in text
    assert 'name="history_tokens" value="600"' in text
    form = {"type": "new", "name": "New", "agent": here[Agent].pk, "mood": "normal", "identity_tokens": "0"}
    assert client.post(address, {**form, "history_tokens": "1200"}).status_code == 302
    row = Companion.objects.get(pk=here[Companion].pk)
    assert row.memory_budget == {"identity": 0, "preferences": 200, "history": 1200}
    for wrong in ("-1", "8001", "many", "1.5"):
        assert client.post(address, {**form, "history_tokens": wrong}).status_code == 200
    row.refresh_from_db()
    assert row.memory_budget["history"] == 1200
