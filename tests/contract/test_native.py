"""The rows of the native dialect that need no worker: what they answer, in which order, with which defaults."""

import re
from typing import Any

import pytest

from accounts.models import Role
from agents.tools import registry
from chat.models import Conversation, Message, Run
from memory import embedders
from tests.cast import PASSWORD, Api, person
from tests.contract.conftest import World, answered
from tests.contract.operations import OPERATIONS, check_answer, check_problem, send

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NO_JSON = {
    "POST /v1/ai/chat", "POST /v1/ai/companion/{type}/chat", "POST /v1/ai/teams/{team_id}/chat",
    "GET /v1/ai/runs/{run_id}/events", "GET /v1/ai/sessions/{session_id}/stream",
    "GET /v1/ai/attachments/{attachment_id}", "GET /v1/ai/memory/export",
    "GET /v1/auth/me/export",
}  # fmt: skip
"""What answers as a stream, or with a picture; told of elsewhere."""
STATUS = {
    "POST /v1/ai/sessions": 201,
    "DELETE /v1/ai/sessions/{session_id}": 204,
    "POST /v1/ai/runs/{run_id}/cancel": 202,
    "POST /v1/ai/approvals/bulk": 207,
    "POST /v1/ai/agents": 201,
    "POST /v1/ai/agents/import": 201,
    "POST /v1/ai/skills": 201,
    "DELETE /v1/ai/skills/{skill_id}": 204,
    "POST /v1/ai/keys": 201,
    "POST /v1/ai/memory": 201,
    "DELETE /v1/ai/memory/{memory_id}": 204,
    "DELETE /v1/ai/keys/{provider}": 204,
    "POST /v1/ai/teams": 201,
    "DELETE /v1/ai/teams/{team_id}": 204,
    "POST /v1/ai/tools": 201,
    "DELETE /v1/ai/tools/{tool_id}": 204,
    "POST /v1/ai/tool-secrets": 201,
    "DELETE /v1/ai/tool-secrets/{secret_name}": 204,
    "POST /v1/ai/mcp-servers": 201,
    "POST /v1/ai/notifications/channels": 201,
    "DELETE /v1/ai/notifications/channels/{channel_id}": 204,
    "POST /v1/ai/notifications/channels/{channel_id}/test": 202,
    "DELETE /v1/ai/mcp-servers/{mcp_server_id}": 204,
    "DELETE /v1/ai/mcp-servers/{mcp_server_id}/tools/{mcp_tool_id}/acceptance": 204,
}

NOT_ONCE_ENDED = {"POST /v1/ai/runs/{run_id}/tool-results"}


@pytest.mark.parametrize(
    "ended",
    [pytest.param(False, marks=pytest.mark.proves(client="Django's test client")), True],
    ids=["active", "ended"],
)
@pytest.mark.parametrize("operation", [one for one in OPERATIONS if str(one) not in NO_JSON], ids=str)
def test_an_answer_is_what_the_schema_documents_and_not_a_field_more(world: World, operation, ended):
    if ended:
        answered(world.admin)
    answer = send(world.admin.api, operation, world.admin.url(operation), operation.least_body(world.examples))
    expected = STATUS.get(str(operation), 200)
    if ended and str(operation) in NOT_ONCE_ENDED:
        check_problem(answer, 409)
        return
    assert answer.status_code == expected, answer.content
    assert len(answer.headers["X-Request-Id"]) > 10
    if not operation.public:
        assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= set(answer.headers)
    if expected == 204:
        assert answer.content == b""
        return
    assert answer.headers["Content-Type"] == "application/json"
    check_answer(str(operation), expected, answer.json())
    for name, value in members(answer.json()):
        if name.endswith("_at") and value is not None:
            assert MOMENT.fullmatch(value), (name, value)
        if (name == "id" or name.endswith("_id")) and name not in NO_UUIDS and value is not None:
            assert UUID7.fullmatch(value), (name, value)


NO_UUIDS = {"call_id", "request_id"}


def members(value: Any, name: str = "") -> Any:
    """Each member of an answer, wherever it stands; the names of models are no ids of ours."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from members(inner, key)
    elif isinstance(value, list):
        for inner in value:
            if name != "models":
                yield from members(inner)
    else:
        yield name, value


def test_the_info_says_what_is_here(world: World, workspace):
    assert world.me.api.get("/v1/ai/info").json() == {
        "name": "Countersign",
        "version": "0.1.0",
        "tier": "self-hosted",
        "brain": "available",
        "providers": ["rehearsal"],
        "unavailable": [],
        "tools": registry.names(workspace.pk),
        "embedder": embedders.current().state(),
    }


def test_a_session_begins_with_a_companion_and_a_title(world: World):
    answer = world.me.api.post("/v1/ai/sessions", {"companion": "smart-home", "title": "Plans"})
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) >= {"id", "companion", "title", "created_at"}
    assert (made["companion"], made["title"], made["archived"]) == ("smart-home", "Plans", False)
    shown = world.me.api.get(f"/v1/ai/sessions/{made['id']}").json()
    assert shown == {**made, "messages": [], "turns": [], "active_run_id": None, "next_cursor": None}
    assert world.me.api.post("/v1/ai/sessions", {"companion": "smart-home"}).json()["title"] == ""


def test_a_session_shows_what_was_said_oldest_first(world: World):
    said = answered(world.me)
    shown = world.me.api.get(f"/v1/ai/sessions/{world.me.session.pk}").json()
    question, answer = shown["messages"]
    assert set(answer) >= {"id", "role", "content", "parts", "created_at", "model", "provider", "usage"}
    assert (question["role"], question["content"], question["usage"]) == ("user", "A secret of me", None)
    assert (answer["id"], answer["role"], answer["content"]) == (str(said.pk), "assistant", "An answer")
    assert answer["parts"] == [{"type": "text", "text": "An answer"}]
    assert (answer["model"], answer["usage"]["output_tokens"]) == ("rehearsal", 2)
    assert shown["active_run_id"] is None


def test_a_session_that_is_busy_names_its_run(world: World):
    shown = world.me.api.get(f"/v1/ai/sessions/{world.me.session.pk}").json()
    assert shown["active_run_id"] == str(world.me.run.pk)


@pytest.mark.parametrize("forget", ["", "?forget=true", "?forget=false"])
def test_a_deleted_session_takes_its_messages_and_runs_along_and_no_others(world: World, forget):
    path = f"/v1/ai/sessions/{world.me.session.pk}"
    answer = world.me.api.delete(f"{path}{forget}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not Message.objects.filter(conversation=world.me.session).exists()
    assert not Run.objects.filter(pk=world.me.run.pk).exists()
    assert (Conversation.objects.count(), Message.objects.count(), Run.objects.count()) == (3, 3, 3)
    for gone in (path, f"/v1/ai/runs/{world.me.run.pk}", f"{path}/stream"):
        check_problem(world.me.api.get(gone), 404)
    check_problem(world.me.api.delete(path), 404)


def test_a_run_is_shown_as_it_stands(world: World):
    path = f"/v1/ai/runs/{world.me.run.pk}"
    waiting = world.me.api.get(path).json()
    assert (waiting["status"], waiting["message_id"], waiting["ended_at"]) == ("queued", None, None)
    said = answered(world.me)
    done = world.me.api.get(path).json()
    assert (done["status"], done["message_id"], done["error"]) == ("completed", str(said.pk), None)
    assert (done["session_id"], done["companion"]) == (str(world.me.session.pk), "smart-home")
    Run.objects.filter(pk=world.me.run.pk).update(state="failed", error_code="stalled", error_message="It stalled.")
    assert world.me.api.get(path).json()["error"] == {"code": "stalled", "message": "It stalled."}


def test_a_run_in_line_is_cancelled_and_one_that_ended_stays_as_it_is(world: World):
    path = f"/v1/ai/runs/{world.me.run.pk}/cancel"
    for _ in range(2):
        answer = world.me.api.post(path)
        assert answer.status_code == 202
        assert answer.json() == {"run_id": str(world.me.run.pk), "status": "cancelled"}
    answered(world.colleague)
    done = world.colleague.api.post(f"/v1/ai/runs/{world.colleague.run.pk}/cancel").json()
    assert done["status"] == "completed"


def test_a_session_with_no_active_run_has_no_stream(world: World):
    answered(world.me)
    answer = world.me.api.get(f"/v1/ai/sessions/{world.me.session.pk}/stream")
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_busy_session_refuses_a_message_and_names_the_run(world: World):
    body = {"message": "And?", "session_id": str(world.me.session.pk)}
    problem = check_problem(world.me.api.post("/v1/ai/chat", body), 409)
    assert (problem["code"], problem["run_id"]) == ("conversation_busy", str(world.me.run.pk))
    assert Message.objects.filter(conversation=world.me.session).count() == 1


def test_a_session_goes_on_with_its_own_companion_only(world: World):
    answered(world.me)
    body = {"message": "And?", "session_id": str(world.me.session.pk), "companion": "smart-home"}
    assert world.me.api.post("/v1/ai/chat", body).status_code == 200
    problem = check_problem(world.me.api.post("/v1/ai/chat", {**body, "companion": "no-such-type"}))
    assert problem["status"] in (400, 404)


BRAIN = {
    "POST /v1/ai/companion/{type}/chat",
    "POST /v1/ai/teams/{team_id}/chat",
    "GET /v1/ai/agents",
    "POST /v1/ai/chat",
}


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if str(one) in BRAIN], ids=str)
def test_without_a_provider_the_brain_is_unavailable(world: World, operation, settings):
    settings.REHEARSAL = False
    answer = send(world.me.api, operation, world.me.url(operation), operation.least_body(world.examples))
    assert (answer.status_code, answer.json()["code"]) == (503, "brain_unavailable")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert world.me.api.get("/v1/ai/info").json()["brain"] == "unavailable"
    assert world.me.api.get("/v1/ai/models").json() == {"models": []}
    assert Run.objects.count() == 4


@pytest.mark.parametrize("role", [Role.MEMBER, Role.AUDITOR, Role.MANAGER, Role.ADMIN])
def test_a_manager_and_an_admin_alone_change_a_companion(world: World, client_of, workspace, role):
    path = "/v1/ai/companions/smart-home/config"
    answer = client_of(person(workspace, f"a-{role}", role)).put(path, {"tone": "brief"})
    if role in (Role.MANAGER, Role.ADMIN):
        assert (answer.status_code, answer.json()["tone"]) == (200, "brief")
    else:
        assert check_problem(answer, 403)["code"] == "role_required"
        world.me.companion.refresh_from_db()
        assert world.me.companion.tone == ""


def test_signing_in_and_staying_signed_in(world: World):
    email = world.me.actor.user.email
    tokens = Api().post("/v1/auth/login", {"email": email.upper(), "password": PASSWORD}).json()
    assert set(tokens) == {"access", "refresh", "expires_in", "workspace_id", "user"}
    assert (tokens["expires_in"], tokens["user"]["email"], tokens["user"]["role"]) == (900, email, "member")
    assert Api(tokens["access"]).get("/v1/ai/sessions").json()["total"] == 1
    renewed = Api().post("/v1/auth/refresh", {"refresh": tokens["refresh"]}).json()
    assert set(renewed) == set(tokens)
    check_problem(Api().post("/v1/auth/refresh", {"refresh": tokens["refresh"]}), 401)
    check_problem(Api().post("/v1/auth/refresh", {"refresh": renewed["access"]}), 401)
    assert Api(renewed["access"]).get("/v1/ai/sessions").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"email": "nobody@example.org"},
        {"password": "wrong"},
        {"password": f"{PASSWORD} "},
        {"workspace": "elsewhere"},
        {"workspace": "no-such-workspace"},
    ],
    ids=str,
)
def test_a_login_that_fails_does_not_say_why(world: World, change):
    good = {"email": world.me.actor.user.email, "password": PASSWORD, "workspace": "home"}
    assert Api().post("/v1/auth/login", good).status_code == 200
    answer = Api().post("/v1/auth/login", {**good, **change})
    problem = check_problem(answer, 401)
    assert (problem["code"], problem["detail"]) == ("login_failed", "The e-mail address or the password is wrong.")
    assert problem["errors"] == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_session_begun_twice_with_one_idempotency_key_is_one(world: World, slash):
    def begin(title: str, key: str = "a key", api: Api = world.me.api) -> Any:
        body = {"companion": "smart-home", "title": title}
        return api.post(f"/v1/ai/sessions{slash}", body, headers={"Idempotency-Key": key})

    first, again = begin("One"), begin("One")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    assert check_problem(begin("Two"), 409)["code"] == "idempotency_mismatch"
    others = [begin("One", "another key"), begin("One", api=world.colleague.api)]
    assert len({answer.json()["id"] for answer in (first, *others)}) == 3


def test_a_refused_request_frees_its_idempotency_key(world: World):
    headers = {"Idempotency-Key": "a key"}
    check_problem(world.me.api.post("/v1/ai/sessions", {"companion": "no-such-type"}, headers=headers), 404)
    assert world.me.api.post("/v1/ai/sessions", {"companion": "smart-home"}, headers=headers).status_code == 201


def test_a_caller_over_the_limit_is_told_when_to_come_back(world: World, settings):
    settings.LIMITS = {**settings.LIMITS, "read": 2}
    answers = [world.me.api.get("/v1/ai/preferences") for _ in range(3)]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    problem = check_problem(answers[2], 429)
    assert problem["code"] == "rate_limited"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert world.colleague.api.get("/v1/ai/preferences").status_code == 200
