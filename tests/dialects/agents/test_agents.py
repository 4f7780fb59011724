"""/api/agents: made, read, changed, deleted."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, AgentVersion, Skill
from approvals.models import AuditEvent
from chat.services import partners
from core import ids
from tests.cast import Api

AGENTS = "/api/agents"
FIELDS = {
    "id", "name", "description", "personality", "tone", "status", "skills", "user_count", "message_count", "created_at",
}  # fmt: skip
NEW = {
    "name": "Hestia",
    "description": "Looks after the home.",
    "personality": "Calm.",
    "tone": "warm",
    "skills": ["heating", "patience"],
    "system_prompt": "You help people run their home.",
    "model": "rehearsal",
}


@pytest.fixture
def admin(owner, client_of):
    return client_of(owner)


@pytest.mark.proves(
    "POST /api/agents",
    "GET /api/agents/{agent_id}",
    "PUT /api/agents/{agent_id}",
    "DELETE /api/agents/{agent_id}",
    client="Django's test client",
)
def test_an_agent_is_made_read_changed_and_deleted(admin, workspace):
    Skill.objects.create(workspace=workspace, slug="heating", name="Heating", tools=["device_list"])
    answer = admin.post(AGENTS, {**NEW, "avatar": "of the client's own"})
    assert answer.status_code == 201, answer.content
    made = answer.json()
    told = {name: NEW[name] for name in ("name", "description", "personality", "tone", "skills")}
    rest = {"id": made["id"], "status": "active", "user_count": 0, "message_count": 0, "created_at": made["created_at"]}
    assert made == {**told, **rest}
    assert made["created_at"].endswith("Z")
    agent = Agent.objects.get(pk=made["id"])
    assert (agent.instructions, agent.model, agent.slug) == (NEW["system_prompt"], "rehearsal", "hestia")
    assert (agent.skills, agent.capabilities, agent.all_tools) == (["heating"], ["patience"], ["device_list"])
    one = f"{AGENTS}/{made['id']}"
    assert admin.get(one).json() == made
    changed = admin.put(one, {"tone": "brisk", "skills": [], "description": None}).json()
    assert changed == {**made, "tone": "brisk", "skills": []}
    assert AgentVersion.objects.filter(agent=agent).count() == 2
    assert admin.delete(one).json() == {"ok": True}
    assert admin.get(one).status_code == 404
    assert AuditEvent.objects.filter(type="agent.changed").count() == 3


def test_agents_of_one_name_and_of_letters_without_a_slug_are_made(admin, workspace):
    for name in ("Hestia", "Hestia", "小助手", "小助手"):
        assert admin.post(AGENTS, {"name": name}).status_code == 201
    assert set(Agent.objects.values_list("slug", flat=True)) == {"hestia", "hestia-2", "agent", "agent-2"}


def test_an_agent_that_was_talked_with_is_switched_off_in_place_of_deleted(admin, member, agent, talk):
    talk(member, agent)
    one = f"{AGENTS}/{agent.pk}"
    assert admin.delete(one).json() == {"ok": True, "status": "disabled"}
    assert admin.get(one).json()["status"] == "disabled"
    refused = admin.post(f"{one}/chat", {"message": "Hello"})
    assert (refused.status_code, refused.json()) == (409, {"detail": "Ada is switched off."})


@pytest.mark.proves("GET /api/agents", client="Django's test client")
def test_the_list_counts_people_and_messages_in_as_many_queries_however_many_agents(
    api, admin, member, manager, agent, other_agent, talk, foreign_agent
):
    talk(member, agent)
    talk(member, agent)
    talk(manager, agent)

    def listed():
        with CaptureQueriesContext(connection) as queries:
            answer = api.get(f"{AGENTS}/")
        return answer.json(), len(queries)

    listed()  # a key's first use of the day is recorded
    found, before = listed()
    assert [(one["name"], one["user_count"], one["message_count"]) for one in found] == [("Ada", 2, 6), ("Bob", 0, 0)]
    assert all(one.keys() == FIELDS for one in found)
    for number in range(5):
        assert admin.post(AGENTS, {"name": f"More {number}"}).status_code == 201
    found, after = listed()
    assert (len(found), after) == (7, before)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"name": 5}, "name"),
        ({"name": "A", "skills": "heating"}, "skills"),
        ({"name": "A", "system_prompt": "a" * 100_001}, "system_prompt"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(admin, body, field):
    answer = admin.post(AGENTS, body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"detail"}
    assert answer.json()["detail"].startswith(f"{field}: ")
    assert answer.headers["Content-Type"] == "application/json"
    assert not Agent.objects.exists()


def test_members_read_agents_and_admins_alone_make_them(api, manager, client_of, agent):
    one = f"{AGENTS}/{agent.pk}"
    assert api.get(one).status_code == 200
    for client in (api, client_of(manager)):
        refused = [client.post(AGENTS, {"name": "A"}), client.put(one, {"tone": "b"}), client.delete(one)]
        for answer in refused:
            assert (answer.status_code, answer.json().keys()) == (403, {"detail"})
    assert Agent.objects.get().tone == ""


def test_an_agent_of_another_workspace_is_as_one_that_does_not_exist(admin, foreign_agent):
    nobody = ids.new()
    for method, path, body in (
        ("get", "", {}),
        ("put", "", {"tone": "b"}),
        ("delete", "", {}),
        ("post", "/chat", {"message": "Hello"}),
        ("post", "/chat/stream", {"message": "Hello"}),
        ("get", "/history", {}),
        ("get", "/conversations", {}),
        ("post", "/conversations", {}),
        ("get", "/inbox", {}),
        ("post", "/mark-read", {}),
        ("get", "/memories", {}),
    ):
        told = []
        for agent_id in (foreign_agent.pk, nobody):
            answer = getattr(admin, method)(f"{AGENTS}/{agent_id}{path}", body)
            assert answer.status_code == 404, (path, answer.content)
            told.append(answer.json()["detail"].replace(str(agent_id), ""))
        assert told[0] == told[1]
    assert Agent.objects.get().name == "Ada of elsewhere"


@pytest.mark.parametrize("path", ["/api/agents/none", "/api/agents/1/chat", "/api/teams/x/y", "/api/agents/a/b/c"])
def test_an_unknown_path_is_told_in_the_dialects_shape(api, path):
    answer = api.get(path)
    assert (answer.status_code, answer.json().keys()) == (404, {"detail"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("patch", "/api/agents"),
        ("delete", "/api/teams"),
        ("get", "/api/agents/{id}/chat"),
        ("put", "/api/teams/{id}/chat"),
    ],
)
def test_an_unknown_method_is_told_in_the_dialects_shape(api, agent, method, path):
    answer = getattr(api, method)(path.format(id=agent.pk))
    assert (answer.status_code, answer.json().keys()) == (405, {"detail"})
    assert answer.headers["Allow"]


def test_without_a_credential_there_is_nothing(agent):
    for path in (AGENTS, f"{AGENTS}/{agent.pk}/history", "/api/teams"):
        answer = Api().get(path)
        assert (answer.status_code, answer.json().keys()) == (401, {"detail"})
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_repeated_creation_gives_the_first_answer(admin):
    first, second = (admin.post(AGENTS, {"name": "A"}, headers={"Idempotency-Key": "one"}) for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert Agent.objects.count() == 1


def test_counts_stop_where_counting_would_grow_dear(api, member, agent, talk, monkeypatch):
    monkeypatch.setattr(partners, "MOST_COUNTED", 3)
    talk(member, agent)
    talk(member, agent)
    shown = api.get(f"{AGENTS}/{agent.pk}").json()
    assert (shown["user_count"], shown["message_count"]) == (1, 3)
