"""The demo: what it makes, once, and how its file is kept."""

import asyncio
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone

from accounts.models import Role, User, Workspace
from agents.events import TextDelta
from agents.models import Agent, AgentTeam
from agents.providers import provider_for
from agents.providers.base import ChatMessage, ChatRequest, ProviderSpec, ToolCall
from agents.tools import registry
from companions.models import Companion
from config import demo
from config.bootstrap import BASE_DIR
from core import ids
from memory.extraction import Said, rules
from memory.services import keeping, learning, owners, telling
from memory.services.keeping import Told, Whose
from memory.services.telling import Telling
from tests.cast import Api

KEYS = ("secret", "admin_secret")
URL = "http://127.0.0.1:8000"
pytestmark = pytest.mark.django_db


@pytest.fixture
def facts(tmp_path: Path) -> dict:
    """A demo and what its file says."""
    demo.make(base_url=URL, file=tmp_path / "demo.json")
    return json.loads((tmp_path / "demo.json").read_text())


def test_only_its_owner_may_read_the_file(facts, tmp_path):
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600


def test_everybody_can_sign_in_and_has_the_role_of_their_name(facts):
    for name, login in facts["users"].items():
        user = User.objects.get(email=login["email"])
        assert user.check_password(login["password"])
        assert user.memberships.get().role == name.rstrip("2")
        assert user.is_staff == (user.memberships.get().role != Role.MEMBER)
        assert user.is_superuser == (name == "admin")


def test_people_of_the_other_workspace_see_nothing_of_the_first(facts):
    assert set(facts["other_workspace_users"]) == {"admin", "member"}
    for name, login in facts["other_workspace_users"].items():
        user = User.objects.get(email=login["email"])
        assert user.check_password(login["password"])
        assert (user.memberships.get().role, user.is_superuser) == (name, False)
    browser = Client()
    for login, others in ((facts["users"]["admin"], True), (facts["other_workspace_users"]["admin"], False)):
        browser.force_login(User.objects.get(email=login["email"]))
        people = browser.get("/admin/accounts/user/").text
        assert ("@demo.example" in people, "@other.example" in people) == (others, True)


def test_what_only_an_admin_may_needs_the_admins_key(facts):
    status = {name: Api(facts["keys"][name]).get("/v1/ai/webhooks/config").status_code for name in KEYS}
    assert status == {"secret": 403, "admin_secret": 200}


def test_passwords_and_keys_differ_from_one_installation_to_the_next(facts, tmp_path):
    Companion.objects.all().delete()
    AgentTeam.objects.all().delete()
    Workspace.objects.all().delete()
    User.objects.all().delete()
    demo.make(base_url=URL, file=tmp_path / "other.json")
    other = json.loads((tmp_path / "other.json").read_text())

    for name in facts["users"]:
        assert facts["users"][name]["password"] != other["users"][name]["password"]
    assert not set(facts["keys"].values()) & set(other["keys"].values())


def test_the_keys_work_and_each_sees_its_own_workspace(facts):
    def ids(key: str) -> set[str]:
        answer = Api(facts["keys"][key]).get("/v1/ai/agents")
        assert answer.status_code == 200, answer.content
        return {agent["id"] for agent in answer.json()["agents"]}

    assert ids("secret") == set(facts["agents"].values())
    assert not ids("other_workspace_secret") & set(facts["agents"].values())


def test_each_workspace_has_both_companions_with_an_agent_of_the_same_slug(facts):
    for workspace in Workspace.objects.all():
        pairs = set(workspace.companions.values_list("type", "agent__slug"))
        assert pairs == {("smart-home", "smart-home"), ("devops", "devops")}
    assert Agent.objects.filter(instructions="").count() == 0


def test_each_thing_to_try_does_offline_what_it_promises(facts):
    """The first are tools that the rehearsal calls, the others what it learns, and what it tells of it then."""
    browser = Client()
    browser.force_login(User.objects.get(email=facts["users"]["member"]["email"]))
    tries = browser.get("/").context["tries"]
    called = []
    for one in tries[:-2]:
        agent = one["companion"].agent
        [call] = [event for event in rehearsed(one["text"], agent) if isinstance(event, ToolCall)]
        registry.check(registry.get(call.name), call.arguments)
        called.append((call.name, call.arguments))
    assert called == [("service_restart", {"service": "web"}), ("service_status", {}), ("device_list", {})]
    remember, tell = tries[-2:]
    companion = tell["companion"]
    assert remember["companion"] == companion
    who = companion.workspace_id, browser.get("/").wsgi_request.user.pk, companion.pk
    said = Said(
        message_id=ids.new(), conversation_id=ids.new(), by_person=True, text=remember["text"], said_at=timezone.now()
    )
    keeping.keep([(Whose(*who), Told(said.conversation_id, said.message_id, "person", said.text, said.said_at))])
    [fact] = learning.learn(owners.made(*who), rules.find([said]), model="rules")
    budget = telling.budget(companion.memory_layers, companion.memory_budget)
    told = ChatMessage("user", telling.block(Telling(*who, budget), tell["text"]).text, recalled=True)
    answer = rehearsed(tell["text"], companion.agent, told)
    assert "short answers" in fact.text
    assert fact.text in "".join(event.text for event in answer if isinstance(event, TextDelta))


def test_the_terminals_example_calls_the_tool_that_it_names(facts):
    line = (BASE_DIR / "docs" / "terminal.md").read_text()
    [(text, slug)] = re.findall(r'echo "(.*)" \| .* --companion (\S+)', line)
    [call] = [one for one in rehearsed(text, Agent.objects.get(pk=facts["agents"][slug])) if isinstance(one, ToolCall)]
    assert (call.name, call.arguments) == ("service_status", {"service": "web"})


def rehearsed(text: str, agent: Agent, *before: ChatMessage) -> list[Any]:
    """What the rehearsal says and calls as this agent."""
    said = ChatMessage("user", f"{text} [[rehearse: interval=0]]")
    request = ChatRequest("rehearsal", (*before, said), "", registry.offered(agent.workspace_id, agent.all_tools))

    async def hear() -> list[Any]:
        return [one async for one in provider_for(ProviderSpec("rehearsal", "rehearsal", offline=True)).stream(request)]

    return asyncio.run(hear())


def test_it_is_made_once_and_later_only_its_address_changes(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    call_command("demo", base_url=URL)
    first = json.loads((tmp_path / "demo.json").read_text())
    call_command("demo", base_url="http://127.0.0.1:9000")
    second = json.loads((tmp_path / "demo.json").read_text())

    assert second == {**first, "base_url": "http://127.0.0.1:9000"}
    assert Workspace.objects.count() == 2
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600


def test_an_installation_with_a_workspace_of_its_own_gets_no_demo(settings, tmp_path, workspace):
    settings.DATA_DIR = tmp_path
    call_command("demo", base_url=URL)

    assert list(Workspace.objects.all()) == [workspace]
    assert not (tmp_path / "demo.json").exists()


@pytest.mark.django_db(transaction=True)
def test_a_demo_that_fails_half_way_leaves_nothing(tmp_path):
    User.objects.create_user("member@other.example")

    with pytest.raises(IntegrityError):
        demo.make(base_url=URL, file=tmp_path / "demo.json")

    assert not Workspace.objects.exists()
    assert not (tmp_path / "demo.json").exists()
