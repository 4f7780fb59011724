"""Agents made, changed, restored and removed, and the skills that they have."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from agents.models import Agent, AgentVersion, Skill
from agents.services import definitions, skills
from approvals.models import AuditEvent

AGENTS, SKILLS = "/v1/ai/agents", "/v1/ai/skills"


@pytest.fixture
def admin(owner, client_of):
    return client_of(owner)


@pytest.fixture
def made(admin):
    """An agent as the API gives it."""
    answer = admin.post(AGENTS, {"name": "Iris", "instructions": "First.", "tools": ["device_list"]})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_an_agent_is_made_read_changed_and_deleted(admin, made):
    at = f"{AGENTS}/{made['id']}"
    assert (made["slug"], made["version"], made["autonomy"]) == ("iris", 1, "advisor")
    changed = admin.patch(at, {"instructions": "Second.", "tone": "dry", "autonomy": "observer"})
    assert changed.status_code == 200
    assert admin.get(at).json() == changed.json()
    assert (changed.json()["version"], changed.json()["tone"], changed.json()["autonomy"]) == (2, "dry", "observer")
    assert admin.delete(at).status_code == 204
    assert admin.get(at).status_code == 404


def test_a_body_that_says_what_is_said_already_makes_no_version(admin, made):
    assert admin.patch(f"{AGENTS}/{made['id']}", {"instructions": "First."}).json()["version"] == 1


@pytest.mark.parametrize(
    ("body", "field", "names"),
    [
        ({"tools": ["device_list", "no_such"]}, "tools", "device_control"),
        ({"skills": ["no-such"]}, "skills", "none"),
        ({"may_ask": ["no-such"]}, "may_ask", "iris"),
        ({"schedule": "whenever"}, "schedule", "crontab"),
        ({"tools": ["device_list", "device_list"]}, "tools", "once"),
        ({"name": "   "}, "name", "blank"),
        ({"secret": "x"}, "secret", "not known"),
    ],
)
def test_what_does_not_fit_is_named_with_what_there_is(admin, made, body, field, names):
    answer = admin.patch(f"{AGENTS}/{made['id']}", body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert names in error["message"] + answer.json()["detail"]
    assert Agent.objects.get(pk=made["id"]).version == 1


def test_a_slug_is_one_agents(admin, made):
    answer = admin.post(AGENTS, {"name": "Iris"})
    assert (answer.status_code, answer.json()["code"]) == (409, "agent_exists")


def test_only_admins_say_what_an_agent_does_and_managers_switch_it(made, manager, api, client_of):
    managers, at = client_of(manager), f"{AGENTS}/{made['id']}"
    assert managers.get(at).status_code == 200
    assert managers.patch(at, {"instructions": "Mine."}).status_code == 403
    assert managers.patch(at, {"enabled": False}).status_code == 200
    assert managers.patch(at, {"enabled": True, "version": 7}).status_code == 409
    assert managers.delete(at).status_code == 403
    assert managers.post(f"{at}/restore", {"number": 1}).status_code == 403
    assert managers.post(AGENTS, {"name": "X"}).status_code == 403
    assert managers.post(SKILLS, {"name": "X"}).status_code == 403
    assert api.get(at).status_code == api.get(f"{at}/versions").status_code == api.get(SKILLS).status_code == 403
    assert Agent.objects.get(pk=made["id"]).instructions == "First."


def test_what_is_of_another_workspace_is_not_there(admin, made, other_workspace, stranger, client_of):
    theirs = client_of(stranger)
    Skill.objects.create(workspace=other_workspace, slug="theirs", name="Theirs")
    for method, path in (("get", ""), ("delete", ""), ("get", "/versions")):
        assert getattr(theirs, method)(f"{AGENTS}/{made['id']}{path}").status_code == 404
    assert theirs.patch(f"{AGENTS}/{made['id']}", {"name": "X"}).status_code == 404
    answer = admin.patch(f"{AGENTS}/{made['id']}", {"skills": ["theirs"]})
    assert answer.json()["errors"][0]["code"] == "unknown_skill"
    assert "theirs" not in answer.json()["errors"][0]["message"].split(";")[1]


def test_an_agent_that_a_companion_names_is_switched_off_instead(admin, smart_home):
    answer = admin.delete(f"{AGENTS}/{smart_home.agent_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "disabled")


def test_versions_are_listed_and_an_old_one_is_said_again_as_a_new_one(admin, made, owner):
    at = f"{AGENTS}/{made['id']}"
    admin.patch(at, {"instructions": "Second.", "tools": []})
    back = admin.post(f"{at}/restore", {"number": 1, "version": 2})
    assert (back.status_code, back.json()["version"], back.json()["instructions"]) == (200, 3, "First.")
    told = admin.get(f"{at}/versions").json()["versions"]
    assert [(one["number"], one["said"]["instructions"]) for one in told] == [
        (3, "First."),
        (2, "Second."),
        (1, "First."),
    ]
    assert {one["author"] for one in told} == {owner.user.email}
    assert admin.post(f"{at}/restore", {"number": 9}).json()["code"] == "unknown_version"


def test_an_agent_that_nobody_changed_by_its_service_has_its_first_version_all_the_same(admin, smart_home):
    at = f"{AGENTS}/{smart_home.agent_id}"
    assert [one["number"] for one in admin.get(f"{at}/versions").json()["versions"]] == [1]
    admin.patch(at, {"instructions": "Other."})
    told = admin.get(f"{at}/versions").json()["versions"]
    assert told[1]["said"]["instructions"] == "You help people run their home."


@pytest.mark.parametrize("said", [{"instructions": "Other."}, {"name": "Other"}, {"model": "other"}])
def test_who_says_what_an_agent_does_is_its_author_and_who_describes_it_is_not(owner, smart_home, said):
    definitions.change(smart_home.agent, by=owner, description="Other", capabilities=["other"])
    assert Agent.objects.get().author is None
    definitions.change(smart_home.agent, by=owner, **said)
    assert Agent.objects.get().author == owner.user


@pytest.mark.django_db(transaction=True)
def test_of_two_edits_of_one_version_one_is_refused(owner, smart_home):
    def edit(text):
        try:
            definitions.change(smart_home.agent, by=owner, version=1, instructions=text)
        except definitions.AgentChanged as refused:
            return refused.extra["version"]
        finally:
            connections.close_all()
        return "kept"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(map(str, pool.map(edit, ["one", "two"]))) == ["2", "kept"]
    assert Agent.objects.get().version == 2
    assert AgentVersion.objects.count() == 2


def test_a_skill_gives_its_tools_and_instructions_to_each_agent_that_has_it(admin, made):
    skill = admin.post(SKILLS, {"name": "Heating", "instructions": "Keep warm.", "tools": ["device_control"]}).json()
    at = f"{AGENTS}/{made['id']}"
    got = admin.patch(at, {"skills": ["heating"]}).json()
    assert got["all_tools"] == ["device_list", "device_control"]
    assert admin.patch(f"{SKILLS}/{skill['id']}", {"tools": []}).status_code == 200
    agent = admin.get(at).json()
    assert (agent["all_tools"], agent["version"]) == (["device_list"], 3)
    assert Agent.objects.get(pk=made["id"]).given["instructions"] == "# Heating\nKeep warm."
    assert admin.delete(f"{SKILLS}/{skill['id']}").json()["code"] == "skill_used"
    admin.patch(at, {"skills": []})
    assert admin.delete(f"{SKILLS}/{skill['id']}").status_code == 204


def test_a_skill_names_tools_that_there_are(admin):
    answer = admin.post(SKILLS, {"name": "Heating", "tools": ["no_such"]})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unknown_tool")


def test_who_changes_a_skill_is_the_author_of_what_its_agents_do(owner, smart_home):
    skill = skills.create(by=owner, name="Heating")
    Agent.objects.update(skills=["heating"])
    skills.change(skill, by=owner, instructions="Burn it.")
    assert Agent.objects.get().author == owner.user


def test_each_change_is_in_the_log(admin, made):
    skill = admin.post(SKILLS, {"name": "Heating"}).json()
    admin.patch(f"{AGENTS}/{made['id']}", {"skills": ["heating"]})
    admin.patch(f"{SKILLS}/{skill['id']}", {"tools": ["device_list"]})
    types = list(AuditEvent.objects.order_by("id").values_list("type", flat=True))
    kept = [one for one in types if one.endswith(".changed")]
    assert kept == ["agent.changed", "skill.changed", "agent.changed", "skill.changed", "agent.changed"]
