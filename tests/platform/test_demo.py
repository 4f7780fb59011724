"""The demo: what it makes, once, and how its file is kept."""

import json
import stat
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import IntegrityError

from accounts.models import Role, User, Workspace
from agents.models import Agent, AgentTeam
from companions.models import Companion
from config import demo
from tests.cast import Api

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
