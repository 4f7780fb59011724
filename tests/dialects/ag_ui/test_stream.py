"""AG-UI's streams as bytes, of real processes: what waits, what is brought, and what comes back."""

import json
from collections.abc import Iterator

import httpx
import pytest

from core import ids
from tests.chat.asking import RESTART, Person, effects
from tests.servers.stack import Stack, eventually

TOOLS = [{"name": "getLocation", "description": "Where the person is."}]
BESIDE = '[[rehearse: call=service_restart {"service": "web"} call=getLocation {"precise": true}]]'


class Thread:
    """A thread as a client keeps it: its name, and the messages that it sends each time."""

    def __init__(self, live: Stack, http: httpx.Client) -> None:
        self._live, self._http = live, http
        self.name = f"thread {ids.new()}"
        self.messages: list[dict] = []

    def body(self, say: str | None = None, **more) -> dict:
        if say is not None:
            self.messages.append({"id": str(ids.new()), "role": "user", "content": say})
        return {
            "threadId": self.name, "runId": str(ids.new()), "protocolVersion": "1.0", "messages": self.messages, **more,
        }  # fmt: skip

    def open(self, say: str | None = None, **more):
        return self._http.stream("POST", "/api/ag-ui/devops", json=self.body(say, **more))

    def run(self, say: str | None = None, **more) -> list[dict]:
        with self.open(say, **more) as response:
            assert response.status_code == 200, response.read()
            return list(frames(response))


def frames(response: httpx.Response) -> Iterator[dict]:
    """The frames as they come: each is one line of data and an empty line."""
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            assert line.startswith("data: "), line
            yield json.loads(line[6:])


def of(told: list[dict], kind: str) -> list[dict]:
    return [frame for frame in told if frame["type"] == kind]


def text(told: list[dict]) -> str:
    return "".join(frame["delta"] for frame in of(told, "TEXT_MESSAGE_CONTENT"))


def ours(told: list[dict]) -> dict:
    return told[0]["metadata"]["countersign"]


def resolved(told: list[dict]) -> list[dict]:
    """Answers to all interrupts of a run's end that decide nothing."""
    return [{"interruptId": one["id"], "status": "resolved"} for one in told[-1]["outcome"]["interrupts"]]


@pytest.fixture(scope="module")
def http(live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.base_url, headers=live.headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def thread(live, http) -> Thread:
    return Thread(live, http)


@pytest.fixture(scope="module")
def manager(live) -> Iterator[Person]:
    person = Person(live, "manager")
    yield person
    person.http.close()


@pytest.mark.proves("POST /api/ag-ui/{agent}", client="httpx")
def test_frames_are_lines_of_data_alone(thread):
    with thread.open("[[rehearse: tokens=9]]") as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        raw = response.read().decode()
    assert raw.endswith("\n\n")
    assert all(line.startswith("data: {") for line in raw.split("\n\n")[:-1] if not line.startswith(":"))
    assert "[DONE]" not in raw
    assert ":null" not in raw


def test_a_stream_that_is_to_wait_goes_on_when_it_is_approved(live, thread, manager):
    told = thread.run(RESTART)
    [interrupt] = told[-1]["outcome"]["interrupts"]
    with thread.open(resume=resolved(told), forwardedProps={"wait": 60}) as response:
        lines = frames(response)
        rest = [next(lines)]
        assert rest[0]["type"] == "RUN_STARTED"
        assert manager.decide(interrupt["id"], decision="approve").status_code == 200
        rest += list(lines)
    assert rest[-1]["type"] == "RUN_FINISHED"
    assert "outcome" not in rest[-1]
    assert "usage" not in rest[-1], "what was spent before stands in the run before"
    [decided] = [one for one in of(rest, "CUSTOM") if one["name"] == "countersign.approval_decided"]
    assert decided["value"]["decision"] == "approve"
    assert of(rest, "TOOL_CALL_RESULT")[0]["toolCallId"] == interrupt["toolCallId"]


def test_who_comes_back_after_all_is_over_gets_the_whole_answer_in_place_of_its_beginning(live, thread, manager):
    told = thread.run(RESTART)
    first = of(told, "TEXT_MESSAGE_START")[0]["messageId"]
    thread.messages.append({"id": first, "role": "assistant", "content": text(told)})
    [interrupt] = told[-1]["outcome"]["interrupts"]
    assert manager.decide(interrupt["id"], decision="approve").status_code == 200
    done = "SELECT answer_id FROM chat_run WHERE id = %s AND state = 'completed'"
    [(answer,)] = eventually(lambda: live.sql(done, ours(told)["runId"]), "the run ends")
    rest = thread.run(resume=resolved(told))
    assert of(rest, "MESSAGES_SNAPSHOT")[0]["messages"] == thread.messages[:1]
    assert live.sql("SELECT content FROM chat_message WHERE id = %s", answer) == [(text(rest),)]
    assert of(rest, "TEXT_MESSAGE_START")[0]["messageId"] == first


def test_the_client_and_a_manager_are_waited_for_together(live, thread, manager):
    live.sql("DELETE FROM agents_sandboxeffect")
    told = thread.run(BESIDE, tools=TOOLS)
    [interrupt] = told[-1]["outcome"]["interrupts"]
    call = next(one for one in of(told, "TOOL_CALL_START") if one["toolCallName"] == "getLocation")
    thread.messages.append({"id": "r", "role": "tool", "toolCallId": call["toolCallId"], "content": "in Berlin"})
    told = thread.run(resume=resolved(told))
    assert [one["id"] for one in told[-1]["outcome"]["interrupts"]] == [interrupt["id"]]
    assert effects(live) == []
    assert manager.decide(interrupt["id"], decision="approve").status_code == 200
    rest = thread.run(resume=resolved(told), forwardedProps={"wait": 30})
    assert "outcome" not in rest[-1]
    assert "Berlin" in text(rest)
    assert len(effects(live)) == 1


def test_a_call_that_failed_at_the_client_is_told_so(live, thread):
    told = thread.run('[[rehearse: call=getLocation {"precise": true}]]', tools=TOOLS)
    [call] = of(told, "TOOL_CALL_START")
    failed = {"role": "tool", "toolCallId": call["toolCallId"], "content": "", "error": "The person said no."}
    thread.messages.append({"id": "r", **failed})
    assert "The person said no." in text(thread.run())
    query = "SELECT state FROM chat_action WHERE run_id = %s"
    assert live.sql(query, ours(told)["runId"]) == [("failed",)]


def test_a_result_too_long_to_be_kept_is_refused(thread, http):
    told = thread.run('[[rehearse: call=getLocation {"precise": true}]]', tools=TOOLS)
    [call] = of(told, "TOOL_CALL_START")
    for content in ("x" * 200_001, None, 5):
        thread.messages.append({"id": "r", "role": "tool", "toolCallId": call["toolCallId"], "content": content})
        answer = http.post("/api/ag-ui/devops", json=thread.body())
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert answer.json()["errors"][0]["field"] == "messages.1.content"
        thread.messages.pop()
    thread.messages.append({"id": "r", "role": "tool", "toolCallId": call["toolCallId"], "content": [{"type": "text"}]})
    assert thread.run()[-1]["type"] == "RUN_FINISHED"


def test_a_run_that_began_here_is_followed_in_the_native_dialect(live, thread):
    told = thread.run("[[rehearse: tokens=9]]")
    run = ours(told)
    answer = httpx.get(f"{live.base_url}/v1/ai/sessions/{run['sessionId']}", headers=live.headers, trust_env=False)
    assert [one["role"] for one in answer.json()["messages"]] == ["user", "assistant"]
    assert answer.json()["messages"][1]["content"] == text(told)
