"""Streams and WebSockets of the real web process open for the session's own person only."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from core import ids
from tests.contract.operations import check_problem, without_ids
from tests.contract.wire import counts
from tests.servers.sse import Reader, ask
from tests.servers.stack import WAIT, Stack

UNAUTHORIZED, NOT_FOUND = 4401, 4404
STREAMS = ["/v1/ai/runs/{run}/events", "/v1/ai/sessions/{session}/stream"]


@pytest.fixture(scope="module")
def http(live: Stack) -> Iterator[httpx.Client]:
    """A client that carries no credential of its own."""
    with httpx.Client(base_url=live.base_url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def tokens(live: Stack, http: httpx.Client) -> dict[str, str]:
    """What each of the demo's people carries, and the member's and the stranger's keys."""
    found = {"mine": live.demo["keys"]["secret"], "stranger": live.demo["keys"]["other_workspace_secret"]}
    for name in ("member2", "admin", "auditor"):
        found[name] = http.post("/v1/auth/login", json=live.demo["users"][name]).json()["access"]
    for token in found.values():  # a key's first use of the day is recorded
        http.get("/v1/ai/companions", headers=bearer(token))
    return found


@pytest.fixture(scope="module")
def mine(live: Stack) -> Iterator[Reader]:
    """A session of the member's whose run is under way all the time."""
    body = {"message": "Hello", "companion": "smart-home", "model": "t3000-i50"}
    reader = ask(live.base_url, live.demo["keys"]["secret"], body, until=5)
    yield reader
    httpx.post(f"{live.base_url}/v1/ai/runs/{reader.run_id}/cancel", headers=live.headers, trust_env=False)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("who", ["stranger", "member2", "admin", "auditor"])
def test_anothers_stream_is_as_one_that_does_not_exist(live, http, tokens, mine, path, who):
    before = counts(live)
    told = []
    for run, session in ((mine.run_id, mine.session_id), (str(ids.new()), str(ids.new()))):
        answer = http.get(path.format(run=run, session=session), headers=bearer(tokens[who]))
        told.append(without_ids(check_problem(answer, 404), run, session))
    assert told[0] == told[1]
    assert counts(live) == before


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("headers", [{}, bearer("nonsense"), {"Authorization": "Basic eDp5"}], ids=str)
def test_a_stream_without_a_credential_is_refused_before_its_first_byte(http, mine, path, headers):
    answer = http.get(path.format(run=mine.run_id, session=mine.session_id), headers=headers)
    check_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", STREAMS)
def test_a_publishable_key_opens_no_stream(live, http, mine, path):
    headers = {**bearer(live.demo["keys"]["publishable"]), "Origin": "http://localhost"}
    check_problem(http.get(path.format(run=mine.run_id, session=mine.session_id), headers=headers), 403)


@pytest.mark.parametrize("path", STREAMS)
def test_ones_own_stream_opens(live, http, tokens, mine, path):
    url = path.format(run=mine.run_id, session=mine.session_id)
    with http.stream("GET", url, headers=bearer(tokens["mine"])) as answer:
        assert answer.status_code == 200
        assert next(answer.iter_lines()) == "id: 0"


def socket(live: Stack, session: str, token: str | None = None, **how: Any) -> connect:
    headers = bearer(token) if token else {}
    url = f"{live.base_url.replace('http', 'ws')}/ws/ai/sessions/{session}"
    return connect(url, additional_headers=headers, proxy=None, **how)


async def close_code(opening: connect) -> int:
    """The code with which the server closes the socket before it says anything."""
    async with opening as opened:
        with pytest.raises(ConnectionClosed) as closed:
            await opened.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def answer_to(opened: ClientConnection, name: str) -> dict[str, Any]:
    """The data of the next frame of this name; fails where none comes, with the last frames that did."""
    came: list[str] = []
    try:
        async with asyncio.timeout(WAIT):
            while True:
                came.append(str(await opened.recv()))
                frame = json.loads(came[-1])
                if frame["event"] == name:
                    return frame["data"]
    except TimeoutError:
        raise AssertionError(f"no frame {name} in {WAIT:g} s, but {len(came)} others, the last {came[-3:]}") from None


@pytest.mark.parametrize("who", ["stranger", "member2", "admin", "auditor"])
async def test_anothers_socket_closes_as_one_that_does_not_exist(live, tokens, mine, who):
    for session in (mine.session_id, str(ids.new())):
        assert await close_code(socket(live, session, tokens[who])) == NOT_FOUND
        assert await close_code(socket(live, session, subprotocols=[f"bearer.{tokens[who]}"])) == NOT_FOUND


@pytest.mark.parametrize("offered", [[], ["countersign"], ["bearer.nonsense"], ["ticket.nonsense"], ["ticket."]])
async def test_a_socket_without_a_credential_that_holds_is_closed(live, mine, offered):
    for session in (mine.session_id, str(ids.new())):
        assert await close_code(socket(live, session, subprotocols=offered or None)) == UNAUTHORIZED


async def test_a_key_in_a_sockets_url_opens_nothing(live, tokens, mine):
    assert await close_code(socket(live, f"{mine.session_id}?token={tokens['mine']}")) == UNAUTHORIZED


@pytest.mark.proves("WebSocket /ws/ai/sessions/{session_id}", client="websockets")
@pytest.mark.proves("POST /v1/auth/ticket", client="httpx")
async def test_a_ticket_opens_one_socket_of_its_own_person_once(live, http, tokens, mine):
    def ticket(who: str) -> str:
        return f"ticket.{http.post('/v1/auth/ticket', headers=bearer(tokens[who])).json()['ticket']}"

    own = ticket("mine")
    async with socket(live, mine.session_id, subprotocols=["countersign", own]) as opened:
        assert opened.subprotocol == "countersign"
        await opened.send('{"type": "resume"}')
        assert (await answer_to(opened, "session"))["run_id"] == mine.run_id
    assert await close_code(socket(live, mine.session_id, subprotocols=[own])) == UNAUTHORIZED
    assert await close_code(socket(live, mine.session_id, subprotocols=[ticket("member2")])) == NOT_FOUND


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://localhost.evil.example", "http://evil.localhost:1"]
)
async def test_a_page_of_another_origin_opens_no_socket(live, tokens, mine, origin):
    with pytest.raises(InvalidStatus) as refused:
        async with socket(live, mine.session_id, origin=origin, subprotocols=[f"bearer.{tokens['mine']}"]):
            pass
    assert refused.value.response.status_code == 403


async def test_a_frame_reaches_no_run_of_another_session_or_person(live, http, tokens, mine):
    made = http.post("/v1/ai/sessions", json={"companion": "smart-home"}, headers=bearer(tokens["member2"])).json()
    other = http.post("/v1/ai/sessions", json={"companion": "smart-home"}, headers=bearer(tokens["mine"])).json()
    for session, token in ((made["id"], tokens["member2"]), (other["id"], tokens["mine"])):
        async with socket(live, session, token) as opened:
            told = []
            for run in (mine.run_id, str(ids.new())):
                await opened.send(json.dumps({"type": "cancel", "run_id": run}))
                told.append(await answer_to(opened, "error"))
            assert [one["code"] for one in told] == ["unknown_run", "unknown_run"]
    [(state, asked)] = live.sql("SELECT state, cancel_requested_at FROM chat_run WHERE id = %s", mine.run_id)
    assert (state, asked) == ("running", None)


async def test_a_path_that_is_no_session_opens_no_socket(live, tokens):
    for path in ("not-an-id", "", f"{ids.new()}/more", "%00"):
        with pytest.raises((InvalidStatus, ConnectionClosed)) as refused:
            async with socket(live, path, tokens["mine"]) as opened:
                await opened.recv()
        assert "500" not in str(refused.value)


async def test_who_leaves_a_socket_in_mid_answer_is_no_fault_of_ours(live, tokens):
    """A hundred leave while tokens come fast, so that some of them are gone just when one is sent."""
    reader = ask(live.base_url, tokens["mine"], {"message": "Hello", "model": "t20000-i2"}, until=5)
    told = len(live.log("web1"))

    async def leave(_: int) -> None:
        async with socket(live, reader.session_id, tokens["mine"], close_timeout=0.1) as opened:
            await opened.send('{"type": "resume"}')
            await answer_to(opened, "delta")

    for _ in range(4):
        await asyncio.gather(*(leave(number) for number in range(25)))
    async with socket(live, reader.session_id, tokens["mine"]) as opened:
        await opened.send(json.dumps({"type": "cancel", "run_id": reader.run_id}))
        await opened.send('{"type": "resume"}')
        await answer_to(opened, "done")
    assert "Traceback" not in (log := live.log("web1")[told:]), log[log.index("Traceback") - 300 :][:3000]
