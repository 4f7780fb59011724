"""Chats row by row: what comes in, what goes out, and what is refused in the dialect's shape."""

import datetime
from uuid import UUID

import pytest
from django.conf import settings

from agents.models import Agent
from approvals.models import AuditEvent
from chat.models import Conversation, Message, Run
from chat.services import leases
from core import ids
from tests.dialects.sessions.conftest import begin, refused

CHAT = {"id", "agentId", "teamId", "userId", "userVerified", "metadata", "createdAt"}
ROW = {"id", "agentId", "userId", "userVerified", "createdAt"}
MESSAGE = {"id", "content", "role", "createdAt"}


def is_time(text: str) -> bool:
    return text.endswith("Z") and datetime.datetime.fromisoformat(text).tzinfo is not None


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_chat_begins_with_an_agent_and_says_what_it_is(server, workspace, slash):
    made = server.post(f"/chat{slash}", {"agentId": "smart-home", "metadata": {"cart": [1]}, "extra": True})
    assert made.status_code == 200, made.content
    told = made.json()
    assert set(told) == CHAT
    assert (UUID(told["id"]).version, told["agentId"], told["teamId"]) == (7, "smart-home", str(workspace.pk))
    assert (told["userId"], told["metadata"]) == (None, {"cart": [1]})
    assert is_time(told["createdAt"])
    assert server.get(f"/chat/{told['id']}{slash}").json() == {**told, "messages": [], "nextCursor": None}


def test_an_agent_is_named_by_its_id_or_slug_and_a_companion_by_its_type(server, workspace):
    agent = Agent.objects.create(workspace=workspace, slug="solo", name="Solo")
    for name in (str(agent.pk), "solo"):
        made = server.post("/chat", {"agentId": name}).json()
        assert made["agentId"] == str(agent.pk)
        assert Conversation.objects.get(pk=made["id"]).agent == agent


@pytest.mark.parametrize("of", ["nobody", "off", "foreign", "foreign slug"])
def test_an_agent_that_is_not_there_is_404(server, workspace, other_workspace, of):
    off = Agent.objects.create(workspace=workspace, slug="off", name="Off", enabled=False)
    foreign = Agent.objects.create(workspace=other_workspace, slug="foreign", name="Foreign")
    name = {"nobody": str(ids.new()), "off": str(off.pk), "foreign": str(foreign.pk), "foreign slug": "foreign"}[of]
    assert refused(server.post("/chat", {"agentId": name}), 404, "unknown_agent")
    assert not Conversation.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"agentId": 5},
        {"agentId": ""},
        {"agentId": "smart-home", "userId": 5},
        {"agentId": "smart-home", "userId": "u" * 201},
        {"agentId": "smart-home", "metadata": []},
        {"agentId": "smart-home", "metadata": {"a": "b" * settings.METADATA_LIMIT}},
        [],
    ],
    ids=str,
)
def test_what_does_not_fit_begins_no_chat(server, body):
    assert server.post("/chat", body).status_code == 400
    assert "error" in server.post("/chat", body).json()
    assert not Conversation.objects.exists()


def test_the_chats_of_the_workspace_are_listed_newest_first_page_by_page(server, page, owner, caller):
    made = [begin(server), begin(page), begin(caller(owner, "secret"), userId="u1")]
    first = server.get("/chat", {"limit": 2}).json()
    assert set(first) == {"chats", "nextCursor"}
    assert [set(one) for one in first["chats"]] == [ROW, ROW]
    rest = server.get("/chat", {"limit": 2, "cursor": first["nextCursor"]}).json()
    assert [one["id"] for one in first["chats"] + rest["chats"]] == made[::-1]
    assert rest["nextCursor"] is None


def test_what_a_client_quotes_is_in_no_list_of_its_persons_chats(api, server):
    said = {"model": "companion/smart-home", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    assert api.post("/v1/chat/completions", said).status_code == 200
    assert api.get("/chat").json()["chats"] == []
    mine = begin(server)
    assert [one["id"] for one in api.get("/chat").json()["chats"]] == [mine]


@pytest.mark.proves("GET /chat", client="Django's test client")
def test_chats_are_filtered_by_user_and_agent_type(server, workspace):
    agent = Agent.objects.create(workspace=workspace, slug="guard", name="Guard", kind="manager")
    mine, others = begin(server, userId="u1"), begin(server, str(agent.pk), userId="u2")

    def listed(**query: object) -> list[str]:
        return [one["id"] for one in server.get("/chat", query).json()["chats"]]

    assert listed(userId="u1") == [mine]
    assert listed(userId="nobody") == []
    assert listed(agentType="manager") == [others]
    assert listed(agentType="companion") == listed(agentType="smart-home") == [mine]
    assert listed(agentType="none") == []


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "x"}, {"userId": "u" * 201}]
)
def test_a_query_that_does_not_fit_is_refused(server, query):
    assert refused(server.get("/chat", query), 400, "invalid")


@pytest.mark.proves("GET /chat/{chat_id}/message", client="Django's test client")
def test_what_was_said_is_read_oldest_first_page_by_page(server):
    chat = begin(server)
    for number in range(3):
        server.post(f"/chat/{chat}/message", {"content": f"line {number}", "role": "assistant"})
    whole = server.get(f"/chat/{chat}").json()
    assert set(whole) == {*CHAT, "messages", "nextCursor"}
    assert [set(one) for one in whole["messages"]] == [MESSAGE] * 3
    first = server.get(f"/chat/{chat}/message/", {"limit": 2}).json()
    rest = server.get(f"/chat/{chat}/message", {"limit": 2, "cursor": first["nextCursor"]}).json()
    assert [one["content"] for one in first["messages"] + rest["messages"]] == ["line 0", "line 1", "line 2"]
    assert first["messages"] + rest["messages"] == whole["messages"]
    assert rest["nextCursor"] is None
    assert refused(server.get(f"/chat/{chat}/message", {"cursor": str(ids.new())}), 400, "invalid")


@pytest.mark.proves("DELETE /chat/{chat_id}", client="Django's test client")
def test_a_chat_is_deleted_with_its_messages(server):
    chat = begin(server)
    server.post(f"/chat/{chat}/message", {"content": "Hello", "role": "assistant"})
    gone = server.delete(f"/chat/{chat}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert not Message.objects.exists()
    assert refused(server.get(f"/chat/{chat}"), 404, "unknown_chat")
    assert refused(server.delete(f"/chat/{chat}"), 404, "unknown_chat")


def test_an_assistants_line_is_told_to_the_model_without_a_run(server):
    chat = begin(server)
    told = server.post(f"/chat/{chat}/message", {"content": "Welcome!", "role": "assistant"})
    assert told.status_code == 200
    body = told.json()
    assert set(body) == {*MESSAGE, "chatId", "status"}
    assert (body["content"], body["role"], body["chatId"]) == ("Welcome!", "assistant", chat)
    assert is_time(body["createdAt"])
    assert not Run.objects.exists()
    [said] = AuditEvent.objects.filter(type="message.appended")
    assert str(said.session_id) == chat
    server.post(f"/chat/{chat}/message", {"content": "Hello"})
    [claim] = leases.claim("test", limit=1)
    assert [(one.role, one.content) for one in claim.messages] == [("assistant", "Welcome!"), ("user", "Hello")]
    assert refused(
        server.post(f"/chat/{chat}/message", {"content": "x", "role": "assistant"}), 409, "conversation_busy"
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"content": " "}, "invalid"),
        ({"content": 5}, "invalid"),
        ({"content": "x" * (settings.MESSAGE_LIMIT + 1)}, "invalid"),
        ({"content": "x", "role": "system"}, "invalid"),
        ({"content": "x", "role": None}, "invalid"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_message_that_does_not_fit_is_refused(server, body, code):
    chat = begin(server)
    assert refused(server.post(f"/chat/{chat}/message", body), 400, code)
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/chat/nothing", 404),
        ("get", "/chat/{chat}/other", 404),
        ("put", "/chat/{chat}", 405),
        ("delete", "/chat", 405),
        ("get", "/chat/token", 405),
    ],
)
def test_unknown_paths_and_methods_are_told_in_the_dialects_shape(server, method, path, status):
    answer = getattr(server, method)(path.format(chat=begin(server)))
    assert refused(answer, status, {404: "not_found", 405: "method_not_allowed"}[status])


def test_a_repeated_request_begins_one_chat(server):
    again = {"Idempotency-Key": "one-chat"}
    first = server.post("/chat", {"agentId": "smart-home"}, headers=again)
    second = server.post("/chat", {"agentId": "smart-home"}, headers=again)
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert refused(server.post("/chat", {"agentId": "other"}, headers=again), 409, "idempotency_mismatch")
    chat = first.json()["id"]
    line = {"content": "Hi", "role": "assistant"}
    ids_ = {server.post(f"/chat/{chat}/message", line, headers=again).json()["id"] for _ in range(2)}
    assert len(ids_) == Message.objects.count() == 1


def test_who_sends_no_key_is_told_how(client):
    answer = client.get("/chat")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert refused(answer, 401, "unauthorized")
