"""The assistant's door of the whole stack: answers, streams, tools, approvals, and the page's own snippets."""

import io
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.events import RunRestarted, TextDelta
from chat import stream
from chat.dialects.assistant.encoder import WAITS, Encoder
from tests.chat.asking import Person
from tests.pictures import encoded, picture, saved
from tests.servers.sse import Event, events
from tests.servers.stack import Stack, eventually

pytestmark = pytest.mark.timeout(240)
PAGE = Path("docs/clients/assistant.md").read_text()
SNIPPETS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RESTART = '[[rehearse: call=service_restart {"service": "web"}]]'


@pytest.fixture(scope="module")
def http(live: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.base_url, headers=live.headers, trust_env=False, timeout=60) as one:
        yield one


def heard(http: httpx.Client, **body: Any) -> list[Event]:
    """The events of a stream, each of which is told twice what it is."""
    with http.stream("POST", "/api/chat/stream", json=body) as answer:
        assert answer.status_code == 200, answer.read()
        found = list(events(answer))
    assert all(one.name == one.data["type"] for one in found)
    return found


@pytest.mark.proves("POST /api/chat", "GET /api/chat/messages", client="httpx")
def test_an_answer_comes_at_once_and_stays_in_its_conversation(http):
    first = http.post("/api/chat", json={"text": "Hello", "agent_id": "smart-home"})
    assert first.status_code == 200, first.text
    told = first.json()
    assert list(told) == ["reply", "conversation_id", "provider"]
    assert told["provider"] == "rehearsal"
    assert told["reply"].startswith("This is a rehearsal")
    again = http.post("/api/chat", json={"text": "And now?", "conversation_id": told["conversation_id"]}).json()
    assert again["conversation_id"] == told["conversation_id"]
    said = http.get("/api/chat/messages", params={"conversation_id": told["conversation_id"], "limit": 3}).json()
    assert [one["content"] for one in said["messages"]] == [told["reply"], "And now?", again["reply"]]


@pytest.mark.proves("POST /api/chat/stream", "GET /api/chat/conversations", client="httpx")
def test_a_stream_is_meta_then_thoughts_and_text_then_the_whole_then_done(http):
    found = heard(http, text="Hello [[rehearse: reason tokens=30 interval=5]]", channel="live")
    names = [one.name for one in found]
    assert (names[0], names[-2:]) == ("meta", ["assistant", "done"])
    assert names == sorted(names, key=["meta", "reasoning", "status", "text", "assistant", "done"].index)
    meta, done = found[0].data, found[-1].data
    assert list(meta) == ["type", "conversation_id", "run_id", "provider"]
    whole = "".join(one.data["delta"] for one in found if one.name == "text")
    assert found[-2].data == {"type": "assistant", "text": whole, "delta": ""}
    assert done == {"type": "done", "reply": whole, **{name: meta[name] for name in list(meta)[1:]}}
    thoughts = [one.data for one in found if one.name == "reasoning"]
    assert thoughts[-1]["text"] == "".join(one["delta"] for one in thoughts) != ""
    [listed] = http.get("/api/chat/conversations", params={"channel": "live"}).json()["conversations"]
    assert (listed["id"], listed["message_count"]) == (meta["conversation_id"], 2)


def test_a_tool_is_told_from_its_beginning_to_its_end(http):
    found = heard(http, text="[[rehearse: call=device_list {}]]", agent_id="smart-home")
    tools = [one.data for one in found if one.name.startswith("tool_")]
    begin = {"type": "tool_start", "name": "device_list", "label": "Device list"}
    assert tools == [begin, {**begin, "type": "tool_end", "ok": True}]
    assert found[-1].name == "done"


def test_an_action_waits_for_its_manager_and_the_stream_goes_on(live, http):
    with (
        closing(Person(live, "manager").http) as manager,
        http.stream("POST", "/api/chat/stream", json={"text": RESTART, "agent_id": "devops"}) as answer,
    ):
        reading = events(answer)
        waits = next(one for one in reading if one.name == "status" and "approval" in one.data["text"])
        assert waits.data["text"] == waits.data["label"] == "Service restart waits for a manager's approval"
        [[approval]] = live.sql("SELECT id FROM approvals_approval WHERE status = 'pending' ORDER BY id DESC LIMIT 1")
        shown = manager.get(f"/v1/ai/approvals/{approval}").json()
        decision = {"decision": "approve", "digest": shown["digest"]}
        assert manager.post(f"/v1/ai/approvals/{approval}", json=decision).status_code == 200
        rest = [one.name for one in reading]
        assert manager.get("/api/chat/conversations").status_code == 200  # with a token, not a key
    assert rest[-1] == "done"
    assert "tool_end" in rest


@pytest.mark.proves("POST /api/chat", "POST /api/chat/conversations/{conversation_id}/truncate", client="httpx")
def test_without_a_stream_the_wait_is_told_at_once(live, http):
    answer = http.post("/api/chat", json={"text": RESTART, "agent_id": "devops"})
    told = answer.json()
    assert (answer.status_code, told["status"], len(told["approvals"])) == (202, "awaiting_approval", 1)
    assert told["reply"]
    assert told["reply"] != WAITS  # something was said before it
    gone = http.post(f"/api/chat/conversations/{told['conversation_id']}/truncate", json={})
    assert gone.json()["deleted"] == 1
    assert live.sql("SELECT status FROM approvals_approval WHERE id = %s", told["approvals"][0]) == [("cancelled",)]


def test_a_failure_is_a_problem_at_once_and_an_event_in_a_stream(http):
    body = {"text": "[[rehearse: after=2 fail=error]]"}
    answer = http.post("/api/chat", json=body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "application/problem+json")
    last = heard(http, **body)[-1]
    assert list(last.data)[:5] == ["type", "error", "conversation_id", "run_id", "provider"]
    assert (last.name, last.data["provider"]) == ("error", "rehearsal")


def test_an_image_is_looked_at(http):
    image = {"image_base64": encoded(saved(picture())), "image_mime": "image/png"}
    assert "With it came 1 image" in http.post("/api/chat", json={"text": "What is it?", **image}).json()["reply"]


def test_who_leaves_finds_the_answer_later(http):
    with http.stream("POST", "/api/chat/stream", json={"text": "[[rehearse: tokens=40 interval=20]]"}) as answer:
        meta = next(events(answer)).data
    where = {"conversation_id": meta["conversation_id"]}

    def answered() -> list:
        return http.get("/api/chat/messages", params=where).json()["messages"][1:]

    assert eventually(answered, "the answer is stored")[0]["content"].endswith("word32")


async def test_the_stream_of_an_answer_that_begins_anew_ends_though_the_run_goes_on():
    left = []

    async def batches():
        try:
            yield [(1, TextDelta("So ")), (2, RunRestarted(2, "worker_lost"))]
            yield [(3, TextDelta("never told"))]
        finally:
            left.append(True)

    encode = Encoder(conversation_id="c", run_id="r", provider="p")
    told_to_end = stream.until(batches(), lambda: encode.ended)
    response = stream.sse(told_to_end, encode, first=encode.meta(), fault=encode.fault())
    told = b"".join([chunk async for chunk in response])
    assert [line for line in told.splitlines() if line.startswith(b"event")] == [
        b"event: meta",
        b"event: text",
        b"event: error",
    ]
    assert left == [True]


@pytest.mark.parametrize(
    "language",
    [
        pytest.param("sh", marks=pytest.mark.proves("POST /api/chat", client="curl")),
        pytest.param("python", marks=pytest.mark.proves("POST /api/chat/stream", client="httpx")),
    ],
)
def test_the_pages_snippets_work(live, language):
    snippet = dict(SNIPPETS)[language]
    key = live.demo["keys"]["secret"]
    if language == "sh":
        env = {**os.environ, "BASE": live.base_url, "KEY": key}
        done = subprocess.run(["bash", "-ec", snippet], env=env, capture_output=True, text=True, timeout=60, check=True)
        printed = done.stdout
    else:
        with redirect_stdout(io.StringIO()) as out:
            exec(snippet, {"BASE": live.base_url, "KEY": key})
        printed = out.getvalue()
    assert "This is a rehearsal" in printed


def test_the_page_has_its_snippets():
    assert [language for language, _ in SNIPPETS] == ["sh", "python"]
