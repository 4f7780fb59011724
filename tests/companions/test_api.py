"""GET /companions and PUT /companions/{type}/config."""

import pytest

from agents.models import Agent
from companions.models import Companion

CONFIG = "/v1/ai/companions/smart-home/config"
PERSONA = {
    "personality": "Dry and exact.",
    "tone": "brief",
    "memory_layers": ["identity"],
    "tools_allowed": ["device_list", "device_control"],
}


def test_companions_are_those_of_the_workspace_that_are_switched_on(api, smart_home, workspace, other_workspace):
    for where, type_, enabled in ((workspace, "off", False), (other_workspace, "theirs", True)):
        agent = Agent.objects.create(workspace=where, slug=type_, name="A")
        Companion.objects.create(workspace=where, type=type_, name="A", agent=agent, enabled=enabled)
    assert api.get("/v1/ai/companions").json() == {
        "companions": [
            {
                "type": "smart-home",
                "name": "Hestia",
                "description": "",
                "agent": "smart-home",
                "personality": "",
                "tone": "",
                "mood": "normal",
                "memory_layers": ["identity", "preferences", "history"],
                "memory_budget": {"identity": 150, "preferences": 200, "history": 600},
                "tools_allowed": [],
            }
        ]
    }


def test_the_list_costs_the_same_for_many(api, smart_home, workspace, django_assert_max_num_queries):
    agent = smart_home.agent
    Companion.objects.bulk_create(
        Companion(workspace=workspace, type=f"c{n}", name="C", agent=agent) for n in range(30)
    )
    api.get("/v1/ai/companions/")  # a key's first use of the day is told to the audit log
    with django_assert_max_num_queries(3):
        assert len(api.get("/v1/ai/companions/").json()["companions"]) == 31


@pytest.mark.parametrize("who", ["manager", "owner"])
def test_a_manager_and_an_admin_may_change_a_persona(request, client_of, smart_home, who):
    answer = client_of(request.getfixturevalue(who)).put(CONFIG, PERSONA)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in PERSONA} == PERSONA
    smart_home.refresh_from_db()
    assert smart_home.tone == "brief"


def test_what_is_left_out_stays(client_of, manager, smart_home):
    client = client_of(manager)
    client.put(CONFIG, PERSONA)
    assert client.put(f"{CONFIG}/", {"tone": ""}).json() == {**client.get("/v1/ai/companions").json()["companions"][0]}
    smart_home.refresh_from_db()
    assert (smart_home.tone, smart_home.personality) == ("", "Dry and exact.")


def test_a_member_may_not(api, smart_home):
    answer = api.put(CONFIG, {"tone": "rude"})
    assert (answer.status_code, answer.json()["code"]) == (403, "role_required")
    smart_home.refresh_from_db()
    assert smart_home.tone == ""


@pytest.mark.parametrize("body", [{"tone": "x"}])
def test_the_companion_of_another_workspace_is_not_there(client_of, stranger, owner, smart_home, body):
    theirs = client_of(stranger).put(CONFIG, body)
    assert (theirs.status_code, theirs.json()["code"]) == (404, "unknown_companion")
    none = client_of(owner).put("/v1/ai/companions/nobody/config", body)
    assert (none.status_code, none.json()["code"]) == (404, "unknown_companion")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"tone": 1},
        {"tone": None},
        {"tone": "x" * 201},
        {"personality": "x" * 10_001},
        {"memory_layers": "identity"},
        {"memory_layers": ["dreams"]},
        {"memory_layers": ["identity", "identity"]},
        {"memory_layers": [1]},
        {"tools_allowed": [""]},
        {"tools_allowed": ["rm -rf"]},
        {"tools_allowed": ["no_such_tool"]},
        {"tools_allowed": ["a"] * 201},
        {"tools_allowed": ["a", "a"]},
        {"tone": "x", "colour": "red"},
    ],
)
def test_what_is_no_persona_is_refused_and_nothing_changes(client_of, manager, smart_home, body):
    answer = client_of(manager).put(CONFIG, body)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    before = smart_home.updated_at
    smart_home.refresh_from_db()
    assert smart_home.updated_at == before


def test_an_unknown_tool_is_refused_with_those_there_are_and_one_that_is_gone_may_stay(client_of, manager, smart_home):
    client = client_of(manager)
    problem = client.put(CONFIG, {"tools_allowed": ["device_list", "door_unlok"]}).json()
    assert [(one["field"], one["code"]) for one in problem["errors"]] == [("tools_allowed", "unknown_tool")]
    assert "'door_unlok'" in problem["detail"]
    assert "door_unlock" in problem["detail"]
    Companion.objects.filter(pk=smart_home.pk).update(tools_allowed=["gone"])
    assert client.put(CONFIG, {"tools_allowed": ["gone", "device_list"]}).status_code == 200
