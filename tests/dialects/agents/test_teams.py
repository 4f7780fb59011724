"""/api/teams: made, read, changed, deleted, their members, and what they said."""

import pytest

from agents.models import AgentTeam
from approvals.models import AuditEvent
from core import ids

TEAMS = "/api/teams"


@pytest.fixture
def managers(manager, client_of):
    return client_of(manager)


def spoken(agent, text, role="member", round=1, error=""):
    place = f"{round}.{role}.{agent.pk}"
    who = {"agent_id": str(agent.pk), "agent_name": agent.name, "role": role, "place": place}
    said = [{"type": "text", "text": text, **who}] if text else []
    return [*said, {"type": "member", **who, "run_id": None, "error": error}]


def answer_of(*agents):
    members = [{"agent_id": str(one.pk), "agent_name": one.name} for one in agents]
    return {"type": "team", "mode": "brainstorm", "members": members}


@pytest.mark.proves(
    "POST /api/teams",
    "GET /api/teams/{team_id}",
    "PUT /api/teams/{team_id}",
    "DELETE /api/teams/{team_id}",
    "POST /api/teams/{team_id}/agents/{agent_id}",
    "DELETE /api/teams/{team_id}/agents/{agent_id}",
    client="Django's test client",
)
def test_a_team_is_made_filled_read_changed_and_deleted(managers, agent, other_agent):
    made = managers.post(TEAMS, {"name": "Both", "description": "All of us.", "chat_mode": "debate", "icon": "x"})
    assert made.status_code == 201, made.content
    team = made.json()
    assert team == {
        "id": team["id"],
        "name": "Both",
        "description": "All of us.",
        "chat_mode": "debate",
        "agents": [],
        "status": "active",
        "created_at": team["created_at"],
    }
    one = f"{TEAMS}/{team['id']}"
    refused = managers.post(f"{one}/chat", {"message": "Hello"})
    assert (refused.status_code, refused.json()) == (409, {"detail": "The team 'Both' has no members yet."})
    for member in (agent, other_agent, agent):
        filled = managers.post(f"{one}/agents/{member.pk}")
    assert [row["name"] for row in filled.json()["agents"]] == ["Ada", "Bob"]
    assert filled.json()["agents"][0] == {"id": str(agent.pk), "name": "Ada", "status": "active"}
    assert managers.get(one).json() == filled.json()
    assert managers.get("/v1/ai/teams").json()["teams"][0]["lead"] == "ada"
    changed = managers.put(one, {"chat_mode": "expert", "name": None}).json()
    assert changed == {**filled.json(), "chat_mode": "expert"}
    assert managers.delete(f"{one}/agents/{agent.pk}").json()["agents"] == filled.json()["agents"][1:]
    assert managers.delete(f"{one}/agents/{agent.pk}").status_code == 404
    assert managers.delete(one).json() == {"ok": True}
    assert managers.get(one).status_code == 404
    assert AuditEvent.objects.filter(type="team.changed").count() == 6


def test_a_team_without_members_is_shown_by_the_native_dialect_too(managers):
    managers.post(TEAMS, {"name": "Nobody"})
    [team] = managers.get("/v1/ai/teams").json()["teams"]
    assert (team["lead"], team["agents"]) == (None, [])
    refused = managers.post(f"/v1/ai/teams/{team['id']}/chat", {"message": "Hello"})
    assert (refused.status_code, refused.json()["code"]) == (409, "team_disabled")


def test_who_is_named_first_leads_a_team_that_was_made_empty(managers, agent, other_agent):
    team = managers.post(TEAMS, {"name": "Later"}).json()
    managers.patch(f"/v1/ai/teams/{team['id']}", {"agents": ["bob", "ada"]})
    assert AgentTeam.objects.get().lead == other_agent


def test_a_team_that_was_talked_with_is_switched_off_in_place_of_deleted(managers, api, team, member, talk):
    talk(member, team, answer=[answer_of()])
    one = f"{TEAMS}/{team.pk}"
    assert managers.delete(one).json() == {"ok": True, "status": "disabled"}
    assert managers.get(one).json()["status"] == "disabled"
    assert api.post(f"{one}/chat", {"message": "Hello"}).status_code == 409


@pytest.mark.proves("GET /api/teams", client="Django's test client")
def test_teams_are_listed_by_name(api, team, workspace):
    AgentTeam.objects.create(workspace=workspace, slug="all", name="All", lead=team.lead)
    assert [one["name"] for one in api.get(f"{TEAMS}/").json()] == ["All", "Both"]


@pytest.mark.parametrize("mode", ["fastest", "Auto", "a" * 20])
def test_an_unknown_mode_is_422_everywhere(managers, team, mode):
    one = f"{TEAMS}/{team.pk}"
    for answer in (
        managers.post(TEAMS, {"name": "A", "chat_mode": mode}),
        managers.put(one, {"chat_mode": mode}),
        managers.post(f"{one}/chat", {"message": "Hello", "mode": mode}),
        managers.post(f"{one}/chat/stream", {"message": "Hello", "mode": mode}),
    ):
        assert (answer.status_code, answer.json().keys()) == (422, {"detail"})
    assert AgentTeam.objects.get().chat_mode == "auto"


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "a" * 101}, {"name": "A", "description": "a" * 2001}])
def test_what_is_no_team_is_refused(managers, body):
    answer = managers.post(TEAMS, body)
    assert (answer.status_code, answer.json().keys()) == (400, {"detail"})


def test_members_read_teams_and_managers_alone_make_them(api, team, agent):
    one = f"{TEAMS}/{team.pk}"
    assert api.get(one).status_code == 200
    for answer in (
        api.post(TEAMS, {"name": "A"}),
        api.put(one, {"name": "B"}),
        api.delete(one),
        api.post(f"{one}/agents/{agent.pk}"),
        api.delete(f"{one}/agents/{agent.pk}"),
    ):
        assert (answer.status_code, answer.json().keys()) == (403, {"detail"})


def test_a_team_or_agent_of_another_workspace_is_as_one_that_does_not_exist(
    managers, team, stranger, client_of, foreign_agent
):
    nobody = ids.new()
    for client, path, body, wanted in (
        (managers, f"{TEAMS}/{team.pk}/agents/{{}}", {}, (foreign_agent.pk, nobody)),
        (client_of(stranger), f"{TEAMS}/{{}}/chat", {"message": "Hello"}, (team.pk, nobody)),
        (client_of(stranger), f"{TEAMS}/{{}}/chat/stream", {"message": "Hello"}, (team.pk, nobody)),
    ):
        told = set()
        for one in wanted:
            answer = client.post(path.format(one), body)
            assert answer.status_code == 404
            told.add(answer.json()["detail"].replace(str(one), ""))
        assert len(told) == 1
    assert client_of(stranger).get(f"{TEAMS}/{team.pk}/history").status_code == 404


@pytest.mark.proves("GET /api/teams/{team_id}/history", client="Django's test client")
def test_history_tells_who_of_the_team_said_what(api, member, manager, team, agent, other_agent, talk):
    talk(manager, team, "Not theirs", [answer_of()])
    parts = [
        answer_of(agent, other_agent),
        *spoken(other_agent, "", error="agent_disabled"),
        *spoken(agent, "Heat less."),
        *spoken(agent, "Both agree.", role="summary", round=2),
    ]
    talk(member, team, "How could we save energy?", parts)
    answer = api.get(f"{TEAMS}/{team.pk}/history").json()["messages"]
    assert {one.pop("created_at")[-1] for one in answer} == {"Z"}
    ada, bob = {"agent_id": str(agent.pk), "agent_name": "Ada"}, {"agent_id": str(other_agent.pk), "agent_name": "Bob"}
    assert answer == [
        {"role": "user", "content": "How could we save energy?", "agent_id": None, "agent_name": None},
        {"role": "assistant", "content": "Heat less.", **ada},
        {"role": "assistant", "content": "", **bob, "error": "agent_disabled"},
        {"role": "assistant", "content": "Both agree.", **ada},
    ]
    assert len(api.get(f"{TEAMS}/{team.pk}/history", {"limit": 2}).json()["messages"]) == 2


def test_a_conversation_with_somebody_else_is_not_the_teams(api, member, team, agent, talk):
    foreign = talk(member, agent)
    answer = api.post(f"{TEAMS}/{team.pk}/chat", {"message": "Hello", "conversation_id": str(foreign.pk)})
    assert (answer.status_code, answer.json()) == (404, {"detail": f"No conversation {foreign.pk} with Both is yours."})
