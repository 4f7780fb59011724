"""Streams of the real web process: who leaves, who never reads, who cancels, who comes by WebSocket."""

import asyncio
import json
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.stack import _program_part
from tests.servers import openai_server
from tests.servers.sse import Reader, ask, resume
from tests.servers.stack import Stack, eventually, free_port, running

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def upstream():
    with openai_server.running() as server:
        yield server


@pytest.fixture(scope="module")
def live(upstream):
    env = {"OPENAI_BASE_URL": upstream.base_url, "KEEP_ALIVE_SECONDS": "1", "RUN_CHECKPOINT_SECONDS": "0.5"}
    with running(env=env) as stack:
        port = free_port()
        argv = ["tests.servers.counted", str(port)]
        stack.programs["counted"] = _program_part("counted", argv, {**stack.env, "PGAPPNAME": "counted"}, 8.0)
        stack.ports["counted"] = port
        stack.start("counted")
        stack.wait("counted")
        yield stack


def body(model: str, **more) -> dict:
    return {"message": "Hello", "companion": "smart-home", "model": model, **more}


def key(stack: Stack) -> str:
    return stack.demo["keys"]["secret"]


def held(stack: Stack) -> dict:
    before = stack.log("counted").count("HELD")
    stack.children["counted"].send_signal(signal.SIGUSR1)
    eventually(lambda: stack.log("counted").count("HELD") > before, "the process tells what it holds")
    return json.loads(re.findall(r"HELD (\{.*\})", stack.log("counted"))[-1])


def backends(stack: Stack) -> int:
    """The connections of the counted process to the database."""
    return stack.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'")[0][0]


def test_clients_who_leave_in_mid_stream_leave_nothing_behind(live, upstream):
    url = f"http://127.0.0.1:{live.ports['counted']}"
    ask(url, key(live), body("t2-i0"))  # what a process makes once is made now
    before = held(live)
    assert backends(live) > 0

    def leave(_: int) -> Reader:
        return ask(url, key(live), body("t40-i50"), until=12)

    with ThreadPoolExecutor(50) as pool:
        readers = list(pool.map(leave, range(200)))
    assert all(reader.end is None for reader in readers)

    def as_before() -> bool:
        now = held(live)
        return all(now[what] <= before[what] for what in ("tasks", "watchers", "connections"))

    eventually(as_before, f"the process holds what it held: {before}, now {held(live)}")
    assert held(live)["threads"] <= 16
    eventually(lambda: backends(live) <= 16, "connections to the database are of the threads only")
    eventually(lambda: live.sql("SELECT count(*) FROM chat_run WHERE active") == [(0,)], "the runs ended by themselves")
    assert live.sql("SELECT DISTINCT state FROM chat_run") == [("completed",)]


def test_clients_who_never_read_cost_no_memory(live):
    """40 answers of 900 kB each: kept for their readers, as events and as frames, they would be over 120 MB."""
    web = psutil.Process(live.pid("web1"))
    ask(live.base_url, key(live), body("giant:900000"))
    before = web.memory_info().rss
    payload = json.dumps({**body("giant:900000"), "stream": True}).encode()
    head = (
        f"POST /v1/ai/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key(live)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    sockets = []
    for _ in range(40):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", live.ports["web1"]))
        one.sendall(head.encode() + payload)
        sockets.append(one)
    count = "SELECT state, count(*) FROM chat_run WHERE model = 'giant:900000' GROUP BY state"
    eventually(lambda: live.sql(count) == [("completed", 41)], "the runs end all the same")
    grown = web.memory_info().rss - before
    for one in sockets:
        one.close()
    assert grown < 70_000_000, grown


def test_a_cancel_stops_the_provider_and_keeps_what_was_said(live, upstream):
    reader = ask(live.base_url, key(live), body("t1000-i20"), until=60)
    cancelled = httpx.post(f"{live.base_url}/v1/ai/runs/{reader.run_id}/cancel", headers=live.headers, trust_env=False)
    assert (cancelled.status_code, cancelled.json()["run_id"]) == (202, reader.run_id)
    eventually(lambda: upstream.chats[-1].left_at is not None, "the upstream sees its client go")
    resume(live.base_url, key(live), reader)
    assert reader.end is not None
    assert reader.end.data["status"] == "cancelled"
    session = httpx.get(
        f"{live.base_url}/v1/ai/sessions/{reader.session_id}", headers=live.headers, trust_env=False
    ).json()
    answer = session["messages"][-1]
    assert answer["content"] == reader.text == reader.end.data["response"]
    assert answer["metadata"] == {"incomplete": "cancelled"}


def test_silence_is_filled_with_comments(live):
    with httpx.stream(
        "POST", f"{live.base_url}/v1/ai/chat", json={**body("slow-first:2.5"), "stream": True}, headers=live.headers,
        timeout=30, trust_env=False,
    ) as response:  # fmt: skip
        lines = list(response.iter_lines())
    assert ": keep-alive" in lines
    assert "event: done" in lines


def test_a_queued_message_is_answered_in_its_turn(live):
    first = ask(live.base_url, key(live), body("t60-i20"), until=12)
    second = ask(live.base_url, key(live), body("t3-i0", session_id=first.session_id, on_conflict="queue"))
    assert second.end is not None
    assert second.end.data["status"] == "completed"
    resume(live.base_url, key(live), first)
    assert first.end is not None
    assert min(second.ids[1:]) > max(first.ids)


async def frames(socket, until: str) -> list[dict]:
    """The frames up to the first of a name."""
    seen = []
    while not seen or seen[-1]["event"] != until:
        seen.append(json.loads(await asyncio.wait_for(socket.recv(), 30)))
    return seen


def ws_url(stack: Stack, session_id: str) -> str:
    return f"{stack.base_url.replace('http', 'ws')}/ws/ai/sessions/{session_id}"


@pytest.fixture
def session_id(live) -> str:
    made = httpx.post(
        f"{live.base_url}/v1/ai/sessions", json={"companion": "smart-home"}, headers=live.headers, trust_env=False
    )
    return made.json()["id"]


async def test_a_socket_carries_the_same_events_as_sse(live, session_id):
    protocols = ["countersign", f"bearer.{key(live)}"]
    async with connect(ws_url(live, session_id), subprotocols=protocols, proxy=None) as ws:
        assert ws.subprotocol == "countersign"
        await ws.send(json.dumps({"type": "message", "message": "Hello", "model": "t5-i10"}))
        over_socket = await frames(ws, "done")
    run_id = over_socket[0]["data"]["run_id"]
    over_sse = resume(live.base_url, key(live), Reader(run_id=run_id))
    assert [frame["event"] for frame in over_socket if frame["event"] != "delta"] == [
        name for name in over_sse.seen if name != "delta"
    ]
    assert "".join(f["data"]["text"] for f in over_socket if f["event"] == "delta") == over_sse.text


@pytest.fixture
def ticket(live) -> str:
    return httpx.post(f"{live.base_url}/v1/auth/ticket", headers=live.headers, trust_env=False).json()["ticket"]


async def test_a_ticket_opens_a_socket_once(live, session_id, ticket):
    protocols = ["countersign", f"ticket.{ticket}"]
    async with connect(ws_url(live, session_id), subprotocols=protocols, proxy=None) as ws:
        await ws.send(json.dumps({"type": "message", "message": "Hello", "model": "t1-i0"}))
        await frames(ws, "done")
    async with connect(ws_url(live, session_id), subprotocols=protocols, proxy=None) as ws:
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    assert closed.value.rcvd.code == 4401


async def test_two_sockets_of_a_session_stay_in_step(live, session_id):
    headers = {"Authorization": f"Bearer {key(live)}"}
    async with (
        connect(ws_url(live, session_id), additional_headers=headers, proxy=None) as speaker,
        connect(ws_url(live, session_id), additional_headers=headers, proxy=None) as listener,
    ):
        await speaker.send(json.dumps({"type": "message", "message": "Hello", "model": "t20-i20"}))
        spoken, heard = await asyncio.gather(frames(speaker, "done"), frames(listener, "done"))
    assert spoken[-1] == heard[-1]


async def test_a_socket_cancels_and_resumes(live, session_id):
    headers = {"Authorization": f"Bearer {key(live)}"}
    async with connect(ws_url(live, session_id), additional_headers=headers, proxy=None) as ws:
        await ws.send(json.dumps({"type": "message", "message": "Hello", "model": "t500-i20"}))
        begun = await frames(ws, "delta")
        run_id = begun[0]["data"]["run_id"]
    async with connect(ws_url(live, session_id), additional_headers=headers, proxy=None) as ws:
        await ws.send(json.dumps({"type": "resume", "after": begun[-1]["id"]}))
        again = await frames(ws, "delta")
        assert again[-1]["id"] > begun[-1]["id"]
        await ws.send(json.dumps({"type": "cancel", "run_id": run_id}))
        end = await frames(ws, "done")
    text = "".join(f["data"]["text"] for f in (*begun, *again, *end) if f["event"] == "delta")
    assert end[-1]["data"]["status"] == "cancelled"
    assert end[-1]["data"]["response"] == text


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("not json", "bad_json"),
        ("[]", "invalid"),
        ('{"type":"dance"}', "invalid"),
        ('{"type":"message"}', "invalid"),
        ('{"type":"message","message":"a\\u0000b"}', "bad_json"),
        ('{"type":"message","message":"hi","model":"no-such-model-here-is","extra":1}', "invalid"),
        ('{"type":"cancel","run_id":"01900000-0000-7000-8000-000000000000"}', "unknown_run"),
        ('{"type":"resume","after":-1}', "invalid"),
        (b"\x00\x01", "invalid"),
    ],
)
async def test_a_frame_that_does_not_fit_is_answered_and_the_socket_lives(live, session_id, sent, code):
    headers = {"Authorization": f"Bearer {key(live)}"}
    async with connect(ws_url(live, session_id), additional_headers=headers, proxy=None) as ws:
        await ws.send(sent)
        [frame] = await frames(ws, "error")
        assert frame["data"]["code"] == code
        await ws.send(json.dumps({"type": "message", "message": "Hello", "model": "t1-i0"}))
        await frames(ws, "done")


async def test_a_page_of_another_origin_is_refused(live, session_id):
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            ws_url(live, session_id), origin="https://evil.example", subprotocols=[f"bearer.{key(live)}"], proxy=None
        ):
            pass
    assert refused.value.response.status_code == 403


async def test_nobody_else_s_session_opens(live, session_id):
    headers = {"Authorization": f"Bearer {live.demo['keys']['other_workspace_secret']}"}
    async with connect(ws_url(live, session_id), additional_headers=headers, proxy=None) as ws:
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    assert closed.value.rcvd.code == 4404
