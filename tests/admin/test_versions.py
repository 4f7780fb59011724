"""The versions of an agent in the admin: what each changed, and going back; an old form overwrites nothing."""

import re

from accounts.models import Role, Workspace
from agents.models import Agent, Skill
from agents.services import definitions
from tests.admin.conftest import HOSTILE, url


def filled(page: str) -> str:
    """The version that a form was filled from."""
    [seen] = re.findall(r'<input[^>]*name="seen"[^>]*value="([0-9]+)"', page)
    return seen


def body(agent, **more):
    said = {"workspace": agent.workspace_id, "name": agent.name, "kind": agent.kind, "instructions": "Third."}
    return {**said, "capabilities": "", "tools": "", "skills": "", "may_ask": "", "seen": 1, **more}


def test_an_old_form_is_refused_and_a_fresh_one_is_a_new_version(here, owner, staff):
    client, agent = staff(Role.ADMIN), here[Agent]
    at = url(Agent, "change", agent.pk)
    assert filled(client.get(at).text) == "1"
    definitions.change(agent, by=owner, instructions="Second.")
    assert "not 1" in client.post(at, body(agent)).text
    assert Agent.objects.get(pk=agent.pk).instructions == "Second."
    seen = filled(client.get(at).text)
    assert client.post(at, body(agent, seen=seen)).status_code == 302
    stored = Agent.objects.get(pk=agent.pk)
    assert (stored.instructions, stored.version) == ("Third.", 3)


def test_versions_show_what_changed_and_an_admin_goes_back(here, owner, staff):
    agent = here[Agent]
    definitions.change(agent, by=owner, instructions=f"One line.\n{HOSTILE}")
    admin, boss, at = staff(Role.ADMIN), staff(Role.MANAGER), url(Agent, "show_versions", agent.pk)
    page = boss.get(at).text
    assert "+One line." in page
    assert HOSTILE not in page
    assert "Say this again" not in page
    boss.post(at, {"number": "1"})
    assert Agent.objects.get(pk=agent.pk).version == 2
    assert "Say this again" in admin.get(at).text
    admin.post(at, {"number": "1"})
    stored = Agent.objects.get(pk=agent.pk)
    assert (stored.instructions, stored.version) == ("", 3)
    assert "no version" in admin.post(at, {"number": "x"}, follow=True).text


def test_a_skill_is_changed_and_deleted_by_the_rules_of_its_service(here, owner, staff):
    client, skill, agent = staff(Role.ADMIN), here[Skill], here[Agent]
    definitions.change(agent, by=owner, skills=[skill.slug])
    form = {"workspace": here[Workspace].pk, "name": "Other", "description": "", "instructions": "Do.", "tools": "nope"}
    assert "no tool" in client.post(url(Skill, "change", skill.pk), form).text
    assert client.post(url(Skill, "change", skill.pk), {**form, "tools": "device_list"}).status_code == 302
    assert Agent.objects.get(pk=agent.pk).all_tools == ["device_list"]
    client.post(url(Skill, "delete", skill.pk), {"post": "yes"})
    assert Skill.objects.filter(pk=skill.pk).exists()
