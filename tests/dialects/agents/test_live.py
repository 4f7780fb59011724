"""The dialect against the whole of it: answers, streams, teams in each mode, and readers in JavaScript."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.dialects.conftest import CLIENTS
from tests.servers.stack import Stack, eventually

pytestmark = pytest.mark.timeout(180)

PAGE = Path(__file__).parents[3] / "docs" / "clients" / "agents.md"
KEYS = """
import json, sys
from accounts.models import Membership
from accounts.services import keys
one = Membership.objects.select_related("workspace", "user").get(user__email=sys.stdin.readline().strip())
for scope in json.loads(sys.stdin.readline()):
    print("KEY", keys.create(workspace=one.workspace, user=one.user, name="Bot", kind="scoped", scopes=[scope])[1])
"""
BAD = "[[rehearse: as=Bob fail=error]]"


def client_of(live: Stack, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=live.base_url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def admin(live):
    login = httpx.post(f"{live.base_url}/v1/auth/login", json=live.demo["users"]["admin"], trust_env=False)
    with client_of(live, login.json()["access"]) as client:
        yield client


@pytest.fixture(scope="module")
def member(live):
    with client_of(live, live.demo["keys"]["secret"]) as client:
        yield client


@pytest.fixture(scope="module")
def made(admin) -> dict[str, str]:
    """Ids of agents and a team that were made through the dialect itself."""
    found = {}
    for name, description in (("Ada", "Mathematics and proofs."), ("Bob", "Cooking and wine."), ("Cyd", "Gardens.")):
        answer = admin.post(
            "/api/agents", json={"name": name, "description": description, "system_prompt": "Be brief."}
        )
        assert answer.status_code == 201, answer.text
        found[name] = answer.json()["id"]
    ops = admin.post("/v1/ai/agents", json={"name": "Ops", "tools": ["service_restart"]}).json()
    found["Ops"] = ops["id"]
    found["team"] = admin.post("/api/teams", json={"name": "Three", "chat_mode": "brainstorm"}).json()["id"]
    for name in ("Ada", "Bob", "Cyd"):
        assert admin.post(f"/api/teams/{found['team']}/agents/{found[name]}").status_code == 200
    return found


@pytest.fixture(scope="module")
def bots(live, made) -> dict[str, str]:
    """Keys of one agent and of one team, which act for the demo's member."""
    scopes = [f"agent:{made['Ada']}", f"team:{made['team']}"]
    who = live.demo["users"]["member"]["email"]
    # The shell runs what stands after -c: what is told it comes over its input.
    printed = live.manage("shell", "-c", KEYS, stdin=f"{who}\n{json.dumps(scopes)}\n")
    return dict(zip(("agent", "team"), re.findall(r"KEY (\S+)", printed), strict=True))


def streamed(client: httpx.Client, path: str, **body: Any) -> tuple[list[str], httpx.Headers]:
    with client.stream("POST", path, json=body) as response:
        assert response.status_code == 200, response.read()
        body = response.read().decode()
    return body.replace(": keep-alive\n\n", "").split("\n"), response.headers  # on a slow machine one comes


def read_by_node(live: Stack, key: str, path: str, **body: Any) -> dict[str, Any]:
    if not shutil.which("node"):
        pytest.skip("Node is not here")
    command = ["node", str(CLIENTS / "agents" / "reader.mjs"), live.base_url, key, path, json.dumps(body)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.proves("POST /api/agents/{agent_id}/chat", "GET /api/agents/{agent_id}/history", client="httpx")
def test_a_message_is_answered_and_the_conversation_goes_on(member, made):
    chat = f"/api/agents/{made['Ada']}/chat"
    first = member.post(chat, json={"message": "Good morning", "temperature": 0.3})
    assert first.status_code == 200, first.text
    answer = first.json()
    assert (answer["agent_id"], answer["agent_name"], answer["status"]) == (made["Ada"], "Ada", "completed")
    assert "Good morning" in answer["response"]
    second = member.post(f"{chat}/", json={"message": "And now?", "conversation_id": answer["conversation_id"]}).json()
    assert second["conversation_id"] == answer["conversation_id"]
    query = {"conversation_id": answer["conversation_id"]}
    said = member.get(f"/api/agents/{made['Ada']}/history", params=query).json()["messages"]
    assert [one["content"] for one in said] == ["Good morning", answer["response"], "And now?", second["response"]]


@pytest.mark.proves("POST /api/agents/{agent_id}/chat/stream", client="httpx")
def test_a_stream_is_lines_of_data_alone(member, made):
    lines, headers = streamed(member, f"/api/agents/{made['Ada']}/chat/stream", message="[[rehearse: tokens=20]]")
    told = [line for line in lines if line]
    assert all(line.startswith("data: ") for line in told)
    assert told[-2:] == ['data: {"type":"done","content":""}', "data: [DONE]"]
    assert set(lines[1::2]) == {""}
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-cache, no-transform", "no")
    query = {"conversation_id": headers["X-Conversation-Id"]}
    stored = member.get(f"/api/agents/{made['Ada']}/history", params=query).json()["messages"][-1]["content"]
    pieces = [json.loads(line[6:]) for line in told[:-2]]
    assert "".join(one["content"] for one in pieces if one["type"] == "text") == stored


@pytest.mark.proves("POST /api/agents/{agent_id}/chat/stream", client="the reader that splits on lines")
def test_the_reader_in_javascript_prints_every_token_and_stops(live, member, made, bots):
    path = f"/api/agents/{made['Ada']}"
    told = read_by_node(live, bots["agent"], f"{path}/chat/stream", message="[[rehearse: tokens=200 interval=1]]")
    assert told["stopped"]
    words = "".join(content for _, content in told["pieces"]).split()
    assert (words[-1], len(words)) == ("word192", 200)  # after the eight of its first sentence
    assert len(told["pieces"]) > 1
    assert told["others"][-1] == "done"
    query = {"conversation_id": told["conversation"]}
    assert member.get(f"{path}/history", params=query).json()["messages"][-1]["content"].split() == words


@pytest.mark.proves("POST /api/teams/{team_id}/chat/stream", client="the reader that splits on lines")
def test_the_reader_in_javascript_is_told_who_of_a_team_speaks(live, made, bots):
    told = read_by_node(
        live, bots["team"], f"/api/teams/{made['team']}/chat/stream", message="Hello", mode="brainstorm"
    )
    assert told["stopped"]
    assert {name for name, _ in told["pieces"]} == {"Ada", "Bob", "Cyd"}
    assert set(told["others"]) <= {"status", "done"}


@pytest.mark.parametrize(
    ("mode", "used", "answers"),
    [
        ("brainstorm", "brainstorm", 3),
        ("debate", "debate", 3),
        ("sequential", "sequential", 3),
        ("expert", "expert", 1),
        ("consensus", "consensus", 3),
        ("auto", "expert", 1),
        (None, "brainstorm", 3),
    ],
)
@pytest.mark.proves("POST /api/teams/{team_id}/chat", client="httpx")
def test_a_team_answers_in_each_mode_and_says_in_which(member, made, mode, used, answers):
    ballot = " [[rehearse: vote=1]]" if mode == "consensus" else ""
    body = {"message": f"Is this proof right?{ballot}", "mode": mode}
    answer = member.post(f"/api/teams/{made['team']}/chat", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["mode"], len(told["responses"])) == (used, answers)
    assert all(one.keys() == {"agent_id", "agent_name", "content"} and one["content"] for one in told["responses"])
    assert told["summary"]
    assert told["conversation_id"]
    if used == "expert":
        assert told["responses"][0]["agent_name"] == "Ada"


def test_a_member_that_fails_leaves_an_error_and_the_others_stand(member, made):
    chat = f"/api/teams/{made['team']}/chat"
    body = {"message": f"Hello {BAD}", "mode": "brainstorm"}
    told = member.post(chat, json=body).json()
    [bad] = [one for one in told["responses"] if "error" in one]
    assert (bad["agent_name"], bad["content"]) == ("Bob", "")
    assert {one["agent_name"] for one in told["responses"] if one["content"]} == {"Ada", "Cyd"}
    assert told["summary"]
    lines, _ = streamed(member, f"{chat}/stream", **body)
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert [one["agent_name"] for one in events if one["type"] == "error"] == ["Bob"]
    assert {one["agent_name"] for one in events if one["type"] == "text"} == {"Ada", "Cyd"}
    assert events[-1] == {"type": "done", "content": ""}
    history = member.get(f"/api/teams/{made['team']}/history", params={"limit": 4}).json()["messages"]
    assert [one["agent_name"] for one in history] == ["Ada", "Bob", "Cyd", "Ada"]


def test_a_run_that_fails_is_an_error_of_its_status_or_the_streams_end(member, made):
    chat = f"/api/agents/{made['Ada']}/chat"
    body = {"message": "[[rehearse: fail=error]]"}
    answer = member.post(chat, json=body)
    assert (answer.status_code, answer.json().keys()) == (502, {"detail"})
    lines, _ = streamed(member, f"{chat}/stream", **body)
    told = [line for line in lines if line]
    assert json.loads(told[-2][6:])["type"] == "error"
    assert told[-1] == "data: [DONE]"
    assert not any('"done"' in line for line in told)


def test_what_waits_for_approval_says_so(member, made):
    body = {"message": 'Do it [[rehearse: call=service_restart {"service": "web"}]]'}
    told = member.post(f"/api/agents/{made['Ops']}/chat", json=body).json()
    assert told["status"] == "awaiting_approval"
    assert len(told["approvals"]) == 1


def test_a_repeated_message_is_answered_once(member, made):
    chat = f"/api/agents/{made['Bob']}/chat"
    headers = {"Idempotency-Key": "agents-dialect"}
    first, second = (member.post(chat, json={"message": "Once"}, headers=headers) for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(member.get(f"/api/agents/{made['Bob']}/history").json()["messages"]) == 2


@pytest.mark.proves(
    "GET /api/agents/{agent_id}",
    "GET /api/agents/{agent_id}/inbox",
    "POST /api/agents/{agent_id}/mark-read",
    client="httpx",
)
def test_a_message_is_counted_and_unread_until_it_is_read(member, made):
    agent = f"/api/agents/{made['Cyd']}"
    member.post(f"{agent}/chat", json={"message": "Hello"})
    shown = member.get(agent).json()
    assert (shown["user_count"], shown["message_count"]) == (1, 2)
    eventually(lambda: member.get(f"{agent}/inbox").json()["unread"] == 1, "the answer is unread")
    assert member.post(f"{agent}/mark-read").json() == {"ok": True, "marked": 1}


def test_keys_of_one_agent_open_no_other_dialect_and_no_socket(live, member, made, bots):
    session = member.post(f"/api/agents/{made['Ada']}/conversations").json()["id"]
    for token in bots.values():
        with client_of(live, token) as bot:
            for path in (
                "/v1/ai/chat",
                "/api/chat",
                "/chat",
                "/v1/chat/completions",
                f"/api/agents/{made['Bob']}/chat",
            ):
                answer = bot.post(path, json={"message": "Hello", "model": "x", "messages": []})
                assert answer.status_code in (403, 404), path
                assert answer.status_code == 403 or path not in live_paths(live), path
        address = live.base_url.replace("http", "ws") + f"/ws/ai/sessions/{session}"
        with connect(address, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=10)
            assert socket.close_code == 4403


def live_paths(live: Stack) -> set[str]:
    """The paths of the schema."""
    found = httpx.get(f"{live.base_url}/api/schema", params={"format": "json"}, trust_env=False, timeout=60).json()
    return {path.rstrip("/") for path in found["paths"]}


@pytest.mark.parametrize(
    "language",
    [
        pytest.param("sh", marks=pytest.mark.proves("POST /api/agents/{agent_id}/chat", client="curl")),
        pytest.param("js", marks=pytest.mark.proves("POST /api/agents/{agent_id}/chat/stream", client="Node's fetch")),
    ],
)
def test_the_pages_snippets_work_as_they_stand(live, made, bots, tmp_path, language):
    program = {"sh": "curl", "js": "node"}[language]
    if not shutil.which(program):
        pytest.skip(f"{program} is not here")
    [snippet] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    given = {"BASE_URL": live.base_url, "AGENT_ID": made["Ada"], "KEY": bots["agent"]}
    if language == "js":
        given_first = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
        (tmp_path / "page.mjs").write_text(given_first + snippet)
        command = ["node", str(tmp_path / "page.mjs")]
    else:
        command = ["sh", "-c", snippet]
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["response"] if language == "sh" else done.stdout
    assert "You asked: “Good morning”" in said
