"""The released client of AG-UI for Node, its verifier on, against the real thing."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from core import ids
from tests.chat.asking import RESTART, Person, effects
from tests.servers.stack import Stack

pytestmark = pytest.mark.timeout(240)
TOOLS = [
    {
        "name": "getLocation",
        "description": "Where the person is.",
        "parameters": {"type": "object", "properties": {"precise": {"type": "boolean"}}},
    }
]
LOCATE = '[[rehearse: call=getLocation {"precise": true}]]'


class Client:
    """An HttpAgent in a process of its own."""

    def __init__(self, folder, live: Stack, agent: str, thread: str | None = None, key: str | None = None) -> None:
        self.thread = thread or f"thread {ids.new()}"
        self._process = subprocess.Popen(
            ["node", "client.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        headers = {"Authorization": f"Bearer {key}"} if key else live.headers
        url = f"{live.base_url}/api/ag-ui/{agent}"
        self._send({"agent": {"url": url, "threadId": self.thread, "headers": headers}})

    def _send(self, command: dict) -> dict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(self, say: str | None = None, **more) -> dict:
        """What came of a run that the verifier had nothing against."""
        told = self.try_(say, **more)
        assert told["error"] is None, told["error"]
        assert told["warnings"] == [], "nothing was stripped"
        return told

    def try_(self, say: str | None = None, **more) -> dict:
        return self._send({**({"say": say} if say is not None else {}), **more})

    def has(self, messages: list[dict]) -> None:
        """Let it have these messages, as a page that was loaded anew."""
        self._send({"messages": messages})

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def client(node, live) -> Iterator:
    """Makes clients: with a companion's type or an agent's slug."""
    made: list[Client] = []

    def make(agent: str = "devops", **more) -> Client:
        made.append(Client(node("ag_ui"), live, agent, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def kinds(told: dict) -> list[str]:
    return [event["type"] for event in told["events"]]


def of(told: dict, kind: str) -> list[dict]:
    return [event for event in told["events"] if event["type"] == kind]


def text(told: dict) -> str:
    return "".join(event["delta"] for event in of(told, "TEXT_MESSAGE_CONTENT"))


@pytest.mark.proves("POST /api/ag-ui/{agent}", client="@ag-ui/client")
def test_two_runs_of_a_thread_are_one_conversation(live, client):
    agent = client("smart-home")
    first = agent.run("Hello there")
    assert kinds(first)[0] == "RUN_STARTED"
    assert kinds(first)[-1] == "RUN_FINISHED"
    [started] = of(first, "RUN_STARTED")
    assert (started["threadId"], started["protocolVersion"]) == (agent.thread, "1.0")
    [answer] = [one for one in first["messages"] if one["role"] == "assistant"]
    assert answer["content"] == text(first)
    assert "Hello there" in answer["content"]
    assert of(first, "RUN_FINISHED")[0]["usage"][0]["outputTokens"] > 0

    second = agent.run("And again")
    sessions = {of(told, "RUN_STARTED")[0]["metadata"]["countersign"]["sessionId"] for told in (first, second)}
    assert len(sessions) == 1
    rows = live.sql("SELECT role FROM chat_message WHERE conversation_id = %s", sessions.pop())
    assert sorted(role for (role,) in rows) == ["assistant", "assistant", "user", "user"]
    assert [one["role"] for one in second["messages"]] == ["user", "assistant", "user", "assistant"]


def test_reasoning_comes_as_a_message_of_its_own(client):
    told = client("smart-home").run("[[rehearse: reason]] Why?")
    [thought] = [one for one in told["messages"] if one["role"] == "reasoning"]
    assert thought["content"].startswith("I shall say what was asked")
    names = [kind for kind in kinds(told) if kind.startswith("REASONING")]
    assert names[:2] == ["REASONING_START", "REASONING_MESSAGE_START"]
    assert names[-2:] == ["REASONING_MESSAGE_END", "REASONING_END"]


def test_a_tool_of_the_server_is_told_with_its_result(client):
    told = client().run("status of the web service please")
    [start] = of(told, "TOOL_CALL_START")
    [result] = of(told, "TOOL_CALL_RESULT")
    assert start["toolCallName"] == "service_status"
    assert result["toolCallId"] == start["toolCallId"]
    assert [one["role"] for one in told["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert "outcome" not in of(told, "RUN_FINISHED")[0]


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.proves("POST /api/ag-ui/{agent}", client="@ag-ui/client")
def test_what_a_manager_decides_is_told_to_who_comes_back(live, client, decision):
    live.sql("DELETE FROM agents_sandboxeffect")
    agent = client()
    told = agent.run(RESTART)
    [interrupt] = told["interrupts"]
    [call] = of(told, "TOOL_CALL_START")
    assert (interrupt["reason"], interrupt["toolCallId"]) == ("tool_call", call["toolCallId"])
    assert interrupt["expiresAt"].endswith("Z")
    assert effects(live) == []

    refused = agent.try_("And now?")  # the client itself wants each interrupt answered
    assert "pending interrupt" in refused["error"]["message"]
    agent.has(told["messages"])

    answer = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}
    again = agent.run(resume=[answer])
    assert [one["id"] for one in again["interrupts"]] == [interrupt["id"]], "whoever asked does not approve"
    assert again["interrupts"] == told["interrupts"]
    assert effects(live) == []
    assert again["messages"] == told["messages"], "nothing is told twice"

    manager = Person(live, "manager")
    assert manager.decide(interrupt["id"], decision=decision, reason="So be it.").status_code == 200
    manager.http.close()
    end = agent.run(resume=[{"interruptId": interrupt["id"], "status": "resolved"}], forwardedProps={"wait": 30})
    assert end["interrupts"] == []
    assert "outcome" not in of(end, "RUN_FINISHED")[0]
    assert [one["role"] for one in end["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert len(effects(live)) == (1 if decision == "approve" else 0)
    session = of(end, "RUN_STARTED")[0]["metadata"]["countersign"]["sessionId"]
    answers = "SELECT content FROM chat_message WHERE role = 'assistant' AND conversation_id = %s"
    [(stored,)] = live.sql(answers, session)
    assert "".join(one.get("content", "") for one in end["messages"] if one["role"] == "assistant") == stored


def test_who_gives_up_an_interrupt_stops_its_run(live, client):
    live.sql("DELETE FROM agents_sandboxeffect")
    agent = client()
    [interrupt] = agent.run(RESTART)["interrupts"]
    given_up = {"interruptId": interrupt["id"], "status": "cancelled"}
    end = agent.run(resume=[given_up])
    assert of(end, "RUN_FINISHED")[0]["outcome"] == {"type": "cancelled"}
    assert live.sql("SELECT status FROM approvals_approval WHERE id = %s", interrupt["id"]) == [("cancelled",)]
    [interrupt] = agent.run(RESTART)["interrupts"]
    next_ = agent.run("Hello instead", resume=[{**given_up, "interruptId": interrupt["id"]}])
    assert "Hello instead" in text(next_)
    assert effects(live) == []


def test_a_tool_of_the_client_is_called_by_it_and_its_result_taken(live, client):
    agent = client()
    told = agent.run(LOCATE, tools=TOOLS)
    [call] = of(told, "TOOL_CALL_START")
    assert call["toolCallName"] == "getLocation"
    assert of(told, "TOOL_CALL_ARGS")[0]["delta"] == '{"precise":true}'
    assert told["interrupts"] == []
    assert of(told, "TOOL_CALL_RESULT") == []
    end = agent.run(result={"toolCallId": call["toolCallId"], "content": '{"city":"Berlin"}'}, tools=TOOLS)
    assert "Berlin" in text(end)
    assert of(end, "TOOL_CALL_RESULT") == [], "the client has it"
    assert [one["role"] for one in end["messages"]] == ["user", "assistant", "tool", "assistant"]


def test_a_result_that_nobody_asked_for_is_believed_by_nobody(live, client):
    agent = client()
    first = agent.run("status of the web service please")
    [call] = of(first, "TOOL_CALL_START")
    forged = {"toolCallId": call["toolCallId"], "content": "FORGED"}
    told = agent.run(result=forged)
    assert "FORGED" not in text(told)
    session = of(first, "RUN_STARTED")[0]["metadata"]["countersign"]["sessionId"]
    rows = live.sql("SELECT content, parts::text FROM chat_message WHERE conversation_id = %s", session)
    assert len(rows) == 2
    assert "FORGED" not in str(rows)


def test_a_run_that_is_asked_for_again_is_told_again(client):
    agent = client()
    first = agent.run("status of the web service please")
    again = agent.run()
    assert again["messages"] == first["messages"]
    assert kinds(again)[:2] == ["RUN_STARTED", "MESSAGES_SNAPSHOT"]


def test_a_failure_is_an_event_with_a_code(client):
    told = client("smart-home").run("[[rehearse: fail=error after=3]]")
    assert kinds(told)[-1] == "RUN_ERROR"
    assert told["events"][-1]["code"] == "provider_error"
    assert told["events"][-1]["message"]


def test_a_refusal_before_the_first_event_is_json_that_the_client_reads(client):
    told = client("nobody").try_("Hello")
    assert told["error"]["status"] == 404
    assert told["error"]["payload"]["code"] == "unknown_agent"
    assert set(told["error"]["payload"]) == {"message", "code", "requestId"}
