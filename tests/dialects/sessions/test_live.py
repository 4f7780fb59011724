"""Chats of the whole stack: replies as JSON and as a stream, approvals, failures, and the page's own snippets."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chat.asking import Person
from tests.servers.sse import Reader
from tests.servers.stack import Stack, eventually

pytestmark = pytest.mark.timeout(240)
PAGE = Path("docs/clients/sessions.md").read_text()
SNIPPETS = re.findall(r"^```(sh|js)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ORIGIN = "http://localhost"
REPLY = {"id", "chatId", "content", "role", "createdAt", "status"}


def client(live: Stack, key: str, **headers: str) -> httpx.Client:
    carried = {"Authorization": f"Bearer {live.demo['keys'][key]}", **headers}
    return httpx.Client(base_url=live.base_url, headers=carried, trust_env=False, timeout=60)


@pytest.fixture
def page(live: Stack) -> Iterator[httpx.Client]:
    with client(live, "publishable", Origin=ORIGIN) as one:
        yield one


@pytest.fixture
def server(live: Stack) -> Iterator[httpx.Client]:
    with client(live, "secret") as one:
        yield one


def begin(http: httpx.Client, agent: str = "smart-home", **more: Any) -> str:
    made = http.post("/chat", json={"agentId": agent, **more})
    assert made.status_code == 200, made.text
    return made.json()["id"]


@pytest.mark.parametrize("who", ["page", "server"])
@pytest.mark.proves(
    "POST /chat",
    "POST /chat/{chat_id}/message",
    "GET /chat/{chat_id}/message",
    "GET /chat/{chat_id}",
    client="httpx",
)
def test_a_message_is_answered_with_one_reply(request, live, who):
    http = request.getfixturevalue(who)
    chat = begin(http)
    told = http.post(f"/chat/{chat}/message/", json={"content": "Hello", "role": "user"})
    assert told.status_code == 200, told.text
    assert told.headers.get("Access-Control-Allow-Origin") == (ORIGIN if who == "page" else None)
    reply = told.json()
    assert set(reply) == REPLY
    assert (reply["chatId"], reply["role"], reply["status"]) == (chat, "assistant", "completed")
    assert "You asked: “Hello”" in reply["content"]
    question, answer = http.get(f"/chat/{chat}/message").json()["messages"]
    assert (question["role"], question["content"]) == ("user", "Hello")
    assert answer == {name: reply[name] for name in ("id", "content", "role", "createdAt")}
    assert http.get(f"/chat/{chat}").json()["messages"] == [question, answer]


@pytest.mark.proves("POST /chat", "POST /chat/{chat_id}/message", client="httpx")
def test_a_reply_is_streamed_as_the_native_events(page):
    chat, reader = begin(page), Reader()
    body, accept = {"content": "Hello", "role": "user"}, {"Accept": "text/event-stream"}
    with page.stream("POST", f"/chat/{chat}/message", json=body, headers=accept) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        reader.read(response)
    assert (reader.seen[0], reader.seen[-1]) == ("session", "done")
    assert set(reader.seen) <= {"session", "status", "delta", "usage", "done"}
    assert reader.session_id == chat
    assert reader.end.data["response"] == reader.text
    assert page.get(f"/chat/{chat}/message").json()["messages"][-1]["content"] == reader.text


def test_a_reply_that_waits_for_an_approval_comes_among_the_messages(live, page):
    chat = begin(page, "devops")
    told = page.post(f"/chat/{chat}/message", json={"content": "Please restart the web service"})
    assert told.status_code == 202, told.text
    reply = told.json()
    assert set(reply) == REPLY
    assert (reply["id"], reply["createdAt"], reply["status"]) == (None, None, "awaiting_approval")
    [(approval,)] = live.sql(
        "SELECT approval_id FROM chat_action WHERE conversation_id = %s AND approval_id IS NOT NULL", chat
    )
    with closing(Person(live, "member").http) as behind, closing(Person(live, "manager").http) as manager:
        path = f"/v1/ai/approvals/{approval}"
        digest = manager.get(path).json()["digest"]
        verdict = {"decision": "approve", "digest": digest}
        assert behind.post(path, json=verdict).status_code == 403, "the person behind the key"
        assert manager.post(path, json=verdict).is_success
    last = eventually(lambda: page.get(f"/chat/{chat}/message").json()["messages"][1:], "the reply is stored")
    assert last[0]["role"] == "assistant"
    assert reply["content"] in last[0]["content"]


def test_an_answer_that_fails_says_so_in_the_dialects_shape(page):
    chat = begin(page)
    told = page.post(f"/chat/{chat}/message", json={"content": "[[rehearse: fail=unauthorized]]"})
    assert told.status_code in (502, 503), told.text
    assert set(told.json()) == {"error"}
    assert set(told.json()["error"]) == {"code", "message"}


@pytest.mark.proves("POST /chat", "GET /chat", "POST /chat/{chat_id}/message", "POST /chat/token", client="curl")
@pytest.mark.proves("POST /chat", "POST /chat/{chat_id}/message", client="Node's fetch")
def test_the_pages_own_snippets_work(live):
    names = {"secret": "SECRET", "publishable": "PUBLISHABLE"}
    given = {"BASE": live.base_url, **{names[kind]: live.demo["keys"][kind] for kind in names}}
    assert [language for language, _ in SNIPPETS] == ["sh", "js", "sh"]
    said = []
    for language, text in SNIPPETS:
        constants = "".join(f"const {name} = {value!r};\n" for name, value in given.items())
        command = (
            ["bash", "-euc", text] if language == "sh" else ["node", "--input-type=module", "-e", constants + text]
        )
        done = subprocess.run(command, env={**live.env, **given}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.strip().splitlines())
    assert "device_list said:" in "".join(said[0])
    assert said[0][-1] == "1"
    assert "device_list said:" in "".join(said[1])
    assert said[2] == ["user-42", "true"]
