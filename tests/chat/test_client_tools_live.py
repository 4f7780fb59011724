"""Tools of the client's own with real processes: a call goes out, its result comes in, the answer goes on."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.chat.asking import Asking, Person, effects
from tests.servers.sse import Reader
from tests.servers.stack import Stack, eventually, running

pytestmark = pytest.mark.timeout(240)
TOOLS = [
    {
        "name": "getLocation",
        "description": "Where the person is.",
        "parameters": {"type": "object", "properties": {"precise": {"type": "boolean"}}},
    }
]
CALL = '[[rehearse: call=getLocation {"precise": true}]]'
BESIDE = '[[rehearse: call=service_restart {"service": "web"} call=getLocation {"precise": true}]]'


@pytest.fixture(scope="module")
def live():
    with running(env={"RUN_SWEEP_SECONDS": "0.5"}) as stack:
        yield stack


@pytest.fixture
def client(live: Stack):
    with httpx.Client(base_url=live.base_url, headers=live.headers, timeout=60, trust_env=False) as one:
        yield one


def said(message: str = CALL, **more) -> dict:
    return {"message": message, "companion": "devops", "tools": TOOLS, **more}


def asked(client: httpx.Client, message: str = CALL) -> dict:
    """A message whose answer waits for the client."""
    answer = client.post("/v1/ai/chat", json=said(message))
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert told["status"] == "awaiting_tools"
    return told


def bring(client: httpx.Client, run_id: str, call_id: str, output="in Berlin", **more) -> httpx.Response:
    results = [{"call_id": call_id, "output": output, **more}]
    return client.post(f"/v1/ai/runs/{run_id}/tool-results", json={"results": results})


def rest(client: httpx.Client, run_id: str, after: str = "0") -> Reader:
    """What comes after an event of the run, to the end of the stream."""
    reader = Reader()
    with client.stream("GET", f"/v1/ai/runs/{run_id}/events", headers={"Last-Event-ID": after}) as response:
        return reader.read(response)


def status(client: httpx.Client, run_id: str) -> str:
    return client.get(f"/v1/ai/runs/{run_id}").json()["status"]


def test_a_stream_ends_with_the_calls_and_the_next_one_goes_on_with_the_results(live, client):
    first = Reader()
    with client.stream("POST", "/v1/ai/chat", json=said(stream=True)) as response:
        first.read(response)
    [call] = [event.data for event in first.events if event.name == "tool_call"]
    assert (call["name"], call["arguments"], call["client"]) == ("getLocation", {"precise": True}, True)
    assert (first.end.name, first.end.data["status"], first.end.data["approvals"]) == ("done", "awaiting_tools", [])
    assert first.end.data["calls"] == [{name: call[name] for name in ("call_id", "name", "arguments")}]
    assert status(client, first.run_id) == "waiting_tools"
    assert rest(client, first.run_id).end.data["status"] == "awaiting_tools", "whoever comes back is told the same"

    answer = bring(client, first.run_id, call["call_id"], {"city": "Berlin"})
    assert (answer.status_code, answer.json()["calls"]) == (200, [])
    reader = rest(client, first.run_id, first.last_id)
    names = [event.name for event in reader.events]
    assert reader.end.data["status"] == "completed"
    assert {"tool_call", "restart"}.isdisjoint(names)
    [result] = [event.data for event in reader.events if event.name == "tool_result"]
    assert (result["ok"], result["summary"]) == (True, 'getLocation: {"city":"Berlin"}')
    assert "Berlin" in reader.text
    assert reader.ids == sorted(set(reader.ids))
    assert reader.end.data["response"] == first.text + reader.text
    session = client.get(f"/v1/ai/sessions/{first.session_id}").json()
    kinds = [part["type"] for part in session["messages"][-1]["parts"]]
    assert kinds.count("tool_call") == kinds.count("tool_result") == 1


def test_a_stream_that_is_to_wait_goes_on_with_the_results(live, client):
    asking = Asking(live, CALL, tools=TOOLS, wait=60)
    call = asking.wait_for("tool_call")
    assert bring(client, asking.reader.run_id, call["call_id"]).status_code == 200, "it is stored when it is told"
    reader = asking.end()
    assert reader.end.data["status"] == "completed"
    assert "in Berlin" in reader.text


def test_a_servers_call_is_not_told_as_the_clients(live):
    asking = Asking(live, "status of the web service please", tools=TOOLS)
    assert asking.end().end.data["status"] == "completed"
    assert all("client" not in call for call in asking.named("tool_call"))


def test_a_body_tells_the_parts_that_are_stored(client):
    said = {"message": "status of the web service please", "companion": "devops"}
    told = client.post("/v1/ai/chat", json=said).json()
    stored = client.get(f"/v1/ai/sessions/{told['session_id']}").json()["messages"][-1]
    assert {"tool_call", "tool_result"} <= {part["type"] for part in stored["parts"]}
    assert {name: stored[name] for name in told["message"]} == told["message"]


def test_of_two_answers_at_once_one_is_taken(client):
    told = asked(client)
    [call] = told["calls"]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda what: bring(client, told["run_id"], call["call_id"], what), ["one", "other"]))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [refused] = [answer.json() for answer in answers if answer.status_code == 409]
    assert refused["code"] == "already_answered"
    assert refused["calls"][0]["summary"] in ("getLocation: one", "getLocation: other")
    assert rest(client, told["run_id"]).end.data["status"] == "completed"


@pytest.mark.parametrize("first", ["client", "manager"])
def test_the_client_and_a_manager_are_waited_for_together(live, client, first):
    live.sql("DELETE FROM agents_sandboxeffect")
    told = asked(client, BESIDE)
    [approval_id], [call] = told["approvals"], told["calls"]
    manager = Person(live, "manager")
    try:
        if first == "client":
            assert bring(client, told["run_id"], call["call_id"]).json()["status"] == "waiting_approval"
            assert effects(live) == []
            manager.decide(approval_id, decision="approve")
        else:
            assert manager.decide(approval_id, decision="approve").status_code == 200
            eventually(lambda: effects(live), "what was approved runs")
            assert rest(client, told["run_id"]).end.data["status"] == "awaiting_tools"
            assert bring(client, told["run_id"], call["call_id"]).status_code == 200
    finally:
        manager.http.close()
    reader = rest(client, told["run_id"])
    assert reader.end.data["status"] == "completed"
    assert [event.data["ok"] for event in reader.events if event.name == "tool_result"] == [True, True]
    assert len(effects(live)) == 1


def test_a_worker_that_dies_meanwhile_costs_nothing(live, client):
    told = asked(client)
    live.kill("worker1")
    try:
        assert bring(client, told["run_id"], told["calls"][0]["call_id"]).json()["status"] == "queued"
    finally:
        live.start("worker1")
        live.wait("worker1")
    reader = rest(client, told["run_id"])
    assert reader.end.data["status"] == "completed"
    assert "in Berlin" in reader.text


def test_a_client_that_never_comes_back_is_waited_for_no_more(live, client):
    told = asked(client)
    live.sql("UPDATE chat_action SET created_at = now() - interval '2 hours' WHERE run_id = %s", told["run_id"])
    eventually(lambda: status(client, told["run_id"]) == "completed", "the run ends")
    reader = rest(client, told["run_id"])
    assert "client_silent" in reader.text
    assert [event.name for event in reader.events].count("done") == 1
    late = bring(client, told["run_id"], told["calls"][0]["call_id"])
    assert (late.status_code, late.json()["code"]) == (409, "run_ended")


def test_a_message_that_interrupts_takes_the_calls_back(client):
    told = asked(client)
    follow = {"message": "Never mind, hello", "session_id": told["session_id"]}
    assert client.post("/v1/ai/chat", json=follow).status_code == 409
    assert client.post("/v1/ai/chat", json={**follow, "on_conflict": "interrupt"}).status_code == 200
    assert status(client, told["run_id"]) == "cancelled"
    assert bring(client, told["run_id"], told["calls"][0]["call_id"]).status_code == 409


def test_the_log_may_be_lost_while_the_client_is_waited_for(live, client):
    told = asked(client)
    live.restart("valkey")
    reader = eventually(lambda: again(client, told["run_id"]), "the stream can be read again")
    assert reader.end.data["calls"] == told["calls"]
    assert [event.data["client"] for event in reader.events if event.name == "tool_call"] == [True]
    assert bring(client, told["run_id"], told["calls"][0]["call_id"]).status_code == 200
    eventually(lambda: status(client, told["run_id"]) == "completed", "the run ends")


def again(client: httpx.Client, run_id: str) -> Reader | None:
    try:
        reader = rest(client, run_id)
    except httpx.HTTPError:
        return None
    return reader if reader.end and reader.end.name == "done" else None


async def test_a_websocket_brings_results_too(live, client):
    session = client.post("/v1/ai/sessions", json={"companion": "devops"}).json()["id"]
    url = f"{live.base_url.replace('http', 'ws')}/ws/ai/sessions/{session}"
    async with connect(url, additional_headers=live.headers, proxy=None) as socket:

        async def until(name: str) -> dict:
            while (frame := json.loads(await socket.recv()))["event"] != name:
                assert frame["event"] != "done", frame
            return frame["data"]

        await socket.send(json.dumps({"type": "message", "message": CALL, "tools": TOOLS}))
        run_id, call = (await until("session"))["run_id"], await until("tool_call")
        frame = {"type": "tool_results", "run_id": run_id, "results": [{"call_id": "call_0", "output": 1}]}
        await socket.send(json.dumps(frame))
        assert (await until("error"))["code"] == "unknown_call"
        frame["results"] = [{"call_id": call["call_id"], "output": "in Berlin"}]
        await socket.send(json.dumps(frame))
        assert (await until("tool_result"))["ok"]
        assert (await until("done"))["status"] == "completed"
