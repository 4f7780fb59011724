"""Every dialect is a view of one conversation: what is said through one is read, followed and gone on with in all."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from core import ids
from tests.chat.asking import RESTART, Person
from tests.servers.sse import Reader

DEVOPS = "devops"
TOOLS = [{"name": "getLocation", "description": "Where the person is."}]
FAST = "[[rehearse: interval=0]] "  # answers tell what is remembered, and grow long
LOCATE = "[[rehearse: call=getLocation {}]]"


@pytest.fixture(scope="module")
def http(live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.base_url, headers=live.headers, timeout=60, trust_env=False) as client:
        yield client


def ok(answer: httpx.Response) -> httpx.Response:
    assert answer.status_code in (200, 202), answer.text
    return answer


def data(answer: httpx.Response) -> list[dict]:
    """The JSON of each line of data."""
    lines = [line[6:] for line in ok(answer).text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def user(text: str) -> dict:
    return {"id": str(ids.new()), "role": "user", "content": text}


# How each dialect says something in a session, and how it reads one ---------------------------------------------------


def native(http: httpx.Client, session: str, text: str, **more) -> httpx.Response:
    return ok(http.post("/v1/ai/chat", json={"message": text, "session_id": session, **more}))


def openai(http: httpx.Client, session: str, text: str) -> httpx.Response:
    body = {"model": f"companion/{DEVOPS}", "messages": [user(text)], "metadata": {"session_id": session}}
    return ok(http.post("/v1/chat/completions", json=body))


def assistant(http: httpx.Client, session: str, text: str) -> httpx.Response:
    return ok(http.post("/api/chat", json={"text": text, "conversation_id": session}))


def sessions(http: httpx.Client, session: str, text: str) -> httpx.Response:
    return ok(http.post(f"/chat/{session}/message", json={"content": text, "role": "user"}))


def ai_sdk(http: httpx.Client, session: str, *messages: str | dict, **more) -> httpx.Response:
    parts = [{"type": "text", "text": one} for one in messages]
    message = {"id": str(ids.new()), "role": "user", "parts": parts}
    return ok(http.post("/api/ai-sdk/chat", json={"id": session, "messages": [message], **more}))


def ag_ui(http: httpx.Client, session: str, *messages: str | dict, **more) -> httpx.Response:
    sent = [user(one) if isinstance(one, str) else one for one in messages]
    body = {"threadId": session, "runId": str(ids.new()), "protocolVersion": "1.0", "messages": sent, **more}
    return ok(http.post(f"/api/ag-ui/{DEVOPS}", json=body))


SAYING: dict[str, Callable] = {
    "native": native, "openai": openai, "assistant": assistant, "sessions": sessions, "ai_sdk": ai_sdk, "ag_ui": ag_ui,
}  # fmt: skip

READING: dict[str, str] = {
    "native": "/v1/ai/sessions/{}",
    "assistant": "/api/chat/messages?conversation_id={}",
    "sessions": "/chat/{}/message",
}


def read(http: httpx.Client, session: str, path: str) -> list[tuple[str, str]]:
    told = ok(http.get(path.format(session))).json()["messages"]
    return [(one["role"], one["content"]) for one in told]


def begun(http: httpx.Client) -> str:
    """A new session."""
    return http.post("/v1/ai/sessions", json={"companion": DEVOPS}).json()["id"]


def test_what_is_said_through_every_dialect_is_one_conversation_in_all_of_them(http):
    session = begun(http)
    for name, say in SAYING.items():
        say(http, session, f"{FAST}I speak {name}")
    told = {name: read(http, session, path) for name, path in READING.items()}
    assert told["native"] == told["assistant"] == told["sessions"]
    assert [text for role, text in told["native"] if role == "user"] == [f"{FAST}I speak {name}" for name in SAYING]
    answers = [text for role, text in told["native"] if role == "assistant"]
    assert len(answers) == len(SAYING)
    assert f"with the {len(SAYING)} messages that you have sent so far" in answers[-1], "each was told those before"


def test_a_name_that_a_client_gave_is_the_same_in_those_that_know_names(http):
    name = f"chat {ids.new()}"
    first = data(ai_sdk(http, name, f"{FAST}Hello", companion=DEVOPS))
    second = data(ag_ui(http, name, f"{FAST}Hello again"))
    session = second[0]["metadata"]["countersign"]["sessionId"]
    assert session in json.dumps(first)
    assert len(read(http, session, READING["native"])) == 4


def test_a_run_that_waits_is_followed_and_gone_on_with_in_another_dialect(live, http):
    session = begun(http)
    waiting = data(ag_ui(http, session, RESTART))
    [interrupt] = waiting[-1]["outcome"]["interrupts"]
    run = waiting[0]["metadata"]["countersign"]["runId"]

    followed = data(http.get(f"/api/ai-sdk/chat/{session}/stream"))
    assert interrupt["id"] in [one.get("approvalId") for one in followed]

    reader = Reader()
    with http.stream("GET", f"/v1/ai/sessions/{session}/stream") as response:
        manager = Person(live, "manager")
        assert manager.decide(interrupt["id"], decision="approve").status_code == 200
        manager.http.close()
        reader.read(response)
    assert reader.run_id == run
    assert (reader.end.name, reader.end.data["status"]) == ("done", "completed")

    resumed = data(ag_ui(http, session, resume=[{"interruptId": interrupt["id"], "status": "resolved"}]))
    text = "".join(one.get("delta", "") for one in resumed if one["type"] == "TEXT_MESSAGE_CONTENT")
    assert text == reader.end.data["response"]
    for path in READING.values():
        assert read(http, session, path)[-1] == ("assistant", text)


def test_a_call_that_one_dialect_told_is_answered_through_another(http):
    session = begun(http)
    told = native(http, session, LOCATE, tools=TOOLS).json()
    [call] = told["calls"]
    result = {"id": "r", "role": "tool", "toolCallId": call["call_id"], "content": "in Berlin"}
    rest = data(ag_ui(http, session, result))
    assert rest[-1]["type"] == "RUN_FINISHED"
    assert "Berlin" in read(http, session, READING["sessions"])[-1][1]

    told = data(ag_ui(http, session, LOCATE, tools=TOOLS))
    run, call = told[0]["metadata"]["countersign"]["runId"], next(one for one in told if "toolCallId" in one)
    brought = {"results": [{"call_id": call["toolCallId"], "output": "in Rome"}]}
    assert http.post(f"/v1/ai/runs/{run}/tool-results", json=brought).status_code == 200
    data(http.get(f"/v1/ai/runs/{run}/events"))
    assert "Rome" in read(http, session, READING["assistant"])[-1][1]


def test_a_conversation_with_an_agent_itself_is_one_in_those_that_know_agents(live, http):
    agent = live.demo["agents"][DEVOPS]
    told = ok(http.post(f"/api/agents/{agent}/chat", json={"message": f"{FAST}Who are you?"})).json()
    session = told["conversation_id"]
    assert data(ag_ui(http, session, f"{FAST}And now?"))[-1]["type"] == "RUN_FINISHED"
    history = read(http, session, f"/api/agents/{agent}/history?conversation_id={{}}")
    assert history == read(http, session, READING["native"])
    assert [role for role, _ in history] == ["user", "assistant"] * 2
