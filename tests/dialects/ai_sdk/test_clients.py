"""The released AI SDK, in its oldest and its newest versions, against the real thing."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import ids
from tests.chat.asking import RESTART, Person, effects
from tests.servers.stack import Stack, eventually

pytestmark = pytest.mark.timeout(240)
PAGE = Path(__file__).parents[3] / "docs" / "clients" / "ai-sdk.md"
EVERY = ["5", "6", "7"]
TOOLS = [
    {
        "name": "getLocation",
        "description": "Where the person is.",
        "parameters": {"type": "object", "properties": {"precise": {"type": "boolean"}}},
    }
]
LOCATE = '[[rehearse: call=getLocation {"precise": true}]]'
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Chat:
    """A chat of the SDK's; each verb gives how it stands once nothing is under way."""

    def __init__(self, process: subprocess.Popen[str], live: Stack, sdk: str, **options: Any) -> None:
        self._process, self._name = process, str(ids.new())
        self.id = options.pop("id", f"chat {self._name}")
        headers = live.headers | options.pop("headers", {})
        body = {"companion": "devops"} | options.pop("body", {})
        url = f"{live.base_url}/api/ai-sdk/chat?sdk={sdk}"
        self._tell("open", id=self.id, api=url, headers=headers, body=body, **options)

    def _tell(self, command: str, **given: Any) -> dict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, "chat": self._name, **given}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __getattr__(self, command: str) -> Callable[..., dict]:
        return lambda **given: self._tell(command, **given)

    def say(self, text: str, **more: Any) -> dict:
        told = self._tell("send", say={"text": text, **more})
        assert told["error"] is None, told["error"]
        return told


@pytest.fixture(scope="session")
def processes(node) -> Iterator[dict[str, subprocess.Popen[str]]]:
    folder = node("ai_sdk")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    found = {sdk: subprocess.Popen(["node", "client.mjs", f"ai{sdk}"], cwd=folder, **pipes) for sdk in EVERY}
    yield found
    for process in found.values():
        process.communicate()


@pytest.fixture
def chat(processes, live) -> Callable[..., Chat]:
    """Opens chats: of a version of the SDK, with options of the script."""
    return lambda sdk="6", **options: Chat(processes[sdk], live, sdk, **options)


@pytest.fixture(scope="module")
def admin(live) -> Iterator[Person]:
    person = Person(live, "admin")
    yield person
    person.http.close()


def text(message: dict) -> str:
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


def of(message: dict, kind: str) -> list[dict]:
    return [part for part in message["parts"] if part["type"] == kind]


def run_of(message: dict) -> dict:
    return of(message, "data-run")[0]["data"]


@pytest.mark.parametrize("sdk", EVERY)
@pytest.mark.proves("POST /api/ai-sdk/chat", client="AI SDK {sdk}")
def test_an_answer_with_thoughts_comes_as_text_and_reasoning_in_one_message(chat, sdk):
    told = chat(sdk).say("[[rehearse: reason interval=0]] Hello")
    question, answer = told["messages"]
    assert (told["status"], question["role"], answer["role"]) == ("ready", "user", "assistant")
    assert [part["type"] for part in answer["parts"]] == ["data-run", "step-start", "reasoning", "text", "data-usage"]
    assert {part["state"] for part in answer["parts"] if "state" in part} == {"done"}
    assert "This is a rehearsal" in text(answer)
    assert of(answer, "reasoning")[0]["text"].startswith("I shall say")
    assert run_of(answer) | {"status": "completed", "runId": answer["id"]} == run_of(answer)
    [response] = told["raw"]
    assert response["headers"]["x-vercel-ai-ui-message-stream"] == "v1"


@pytest.mark.parametrize("sdk", EVERY)
def test_a_chat_is_one_session_of_which_the_last_message_alone_is_taken(chat, sdk, live):
    talk = chat(sdk)
    first = run_of(talk.say("One [[rehearse: interval=0]]")["messages"][1])
    told = talk.say("Two [[rehearse: interval=0]]")
    assert [message["role"] for message in told["messages"]] == ["user", "assistant"] * 2
    assert "with the 2 messages that you have sent so far" in text(told["messages"][3])
    second = run_of(told["messages"][3])
    assert (second["sessionId"], second["runId"] == first["runId"]) == (first["sessionId"], False)
    [(kept,)] = live.sql("SELECT client_id FROM chat_conversation WHERE id = %s", first["sessionId"])
    assert kept == talk.id


@pytest.mark.parametrize("sdk", EVERY)
def test_a_tool_of_the_server_is_shown_with_its_result_in_a_step_of_its_own(chat, sdk):
    told = chat(sdk, sends="results").say('[[rehearse: interval=0 call=service_status {"service": "web"}]]')
    [_, answer] = told["messages"]
    [call] = of(answer, "tool-service_status")
    assert (call["state"], call["input"]) == ("output-available", {"service": "web"})
    assert call["output"]
    kinds = [part["type"] for part in answer["parts"]]
    assert kinds.index("tool-service_status") < kinds.index("step-start", 2) < len(kinds) - 1
    assert len(told["raw"]) == 1, "nothing is sent back of its own accord"


@pytest.mark.parametrize("sdk", EVERY)
def test_a_tool_of_the_client_is_made_there_and_its_result_goes_on_in_the_same_message(chat, sdk):
    talk = chat(sdk, sends="results", body={"tools": TOOLS}, outputs={"getLocation": {"city": "Berlin"}})
    told = talk.say(f"{LOCATE} [[rehearse: interval=0]]")
    assert told["called"] == ["getLocation"]
    assert len(told["raw"]) == 2, "the results were sent by themselves"
    [_, answer] = told["messages"]
    [call] = of(answer, "tool-getLocation")
    assert (call["state"], call["output"]) == ("output-available", {"city": "Berlin"})
    assert text(answer).count("This is a rehearsal") == 1, "nothing is told twice"
    assert "Berlin" in text(answer)
    assert run_of(answer)["status"] == "completed"


def test_a_tool_of_the_client_that_failed_says_why(chat):
    talk = chat("7", sends="results", body={"tools": TOOLS})
    [_, answer] = talk.say(f"{LOCATE} [[rehearse: interval=0]]")["messages"]
    [call] = of(answer, "tool-getLocation")
    assert call["state"] == "input-available"
    failed = {"state": "output-error", "errorText": "No GPS here"}
    talk.output(tool="getLocation", toolCallId=call["toolCallId"], **failed)
    told = eventually(lambda: done(talk.look()), "the answer goes on")
    assert "No GPS here" in text(told["messages"][1])


def done(told: dict) -> dict | None:
    """How the chat stands, once its last answer is whole."""
    whole = told["status"] == "ready" and run_of(told["messages"][-1])["status"] == "completed"
    return told if whole else None


@pytest.mark.parametrize("sdk", ["6", "7"])
def test_who_is_no_approver_gets_the_pending_state_back(chat, sdk, live):
    talk = chat(sdk, sends="approvals")
    [_, answer] = talk.say(RESTART)["messages"]
    [call] = of(answer, "tool-service_restart")
    assert (call["state"], call["input"]["service"]) == ("approval-requested", "web")
    [about] = of(answer, "data-approval")
    assert about["data"] | {"status": "pending", "toolName": "service_restart"} == about["data"]
    assert about["id"] == call["approval"]["id"]
    before = effects(live)
    told = talk.approve(id=about["id"], approved=True)
    [_, answer] = told["messages"]
    [call] = of(answer, "tool-service_restart")
    assert (told["status"], call["state"], call["approval"]["id"]) == ("ready", "approval-requested", about["id"])
    assert of(answer, "data-approval")[0]["data"]["refused"] == "requester"
    assert len(told["raw"]) == 2, "the wish was sent once, and is not sent again and again"
    assert effects(live) == before
    [(status,)] = live.sql("SELECT status FROM approvals_approval WHERE id = %s", about["id"])
    assert status == "pending"


@pytest.mark.parametrize("sdk", EVERY)
def test_what_a_manager_approved_meanwhile_is_read_on_where_the_message_stopped(chat, sdk, admin):
    talk = chat(sdk)
    [_, answer] = talk.say(RESTART)["messages"]
    assert run_of(answer)["status"] == "awaiting_approval"
    [call] = of(answer, "tool-service_restart")
    assert call["state"] == ("approval-requested" if sdk != "5" else "input-available")
    waiting = chat(sdk, id=talk.id, headers={"X-Countersign-Wait": "60"})
    assert admin.decide(run_of(answer)["approvals"][0], decision="approve").status_code == 200
    told = waiting.resume()
    if told["messages"]:  # it may be over by then
        [answer] = told["messages"]
        [call] = of(answer, "tool-service_restart")
        assert (call["state"], run_of(answer)["status"]) == ("output-available", "completed")


def test_a_call_that_a_manager_rejected_is_denied_and_says_why(chat, admin):
    talk = chat("7", headers={"X-Countersign-Wait": "60"})
    talk.begin(say={"text": RESTART})
    asks = lambda: [part for one in talk.look()["messages"] for part in of(one, "data-approval")]  # noqa: E731
    [asked] = eventually(asks, "it asks")
    reject = {"decision": "reject", "reason": "Not on a Friday"}
    assert admin.decide(asked["id"], **reject).status_code == 200
    [_, answer] = talk.wait()["messages"]
    assert of(answer, "tool-service_restart")[0]["state"] == "output-denied"
    told = of(answer, "data-approval")[0]["data"]
    assert (told["status"], told["reason"]) == ("reject", "Not on a Friday")
    assert "Not on a Friday" in text(answer)


def test_an_approver_decides_in_the_chat_of_another_and_is_told_what_came_of_it(chat, live, admin):
    asked = chat("7")
    [question, answer] = asked.say(RESTART)["messages"]
    theirs = chat("7", id=asked.id, messages=[question, answer], sends="approvals", headers=dict(admin.http.headers))
    told = theirs.approve(id=run_of(answer)["approvals"][0], approved=True)
    assert (told["status"], told["error"]) == ("ready", None)
    assert of(told["messages"][1], "data-approval")[0]["data"]["status"] == "approved"
    assert "rehearsal" not in text(told["messages"][1]).removeprefix(text(answer)), "the answer is another person's"
    run_id = run_of(answer)["runId"]
    ended = lambda: live.sql("SELECT 1 FROM chat_run WHERE id = %s AND state = 'completed'", run_id)  # noqa: E731
    eventually(ended, "what was approved runs")
    [call] = of(told["messages"][1], "tool-service_restart")
    assert call["approval"]["approved"] is True


@pytest.mark.parametrize("sdk", EVERY)
@pytest.mark.proves("POST /api/ai-sdk/chat", "GET /api/ai-sdk/chat/{chat_id}/stream", client="AI SDK {sdk}")
def test_who_comes_back_reads_the_answer_from_its_start_and_follows_on(chat, sdk):
    talk = chat(sdk)
    talk.begin(say={"text": "[[rehearse: tokens=80 interval=20]]"})
    eventually(lambda: len(talk.look()["messages"]) == 2 and "word3" in text(talk.look()["messages"][1]), "it speaks")
    told = chat(sdk, id=talk.id).resume()
    [again] = told["messages"]
    assert told["error"] is None
    [_, answer] = talk.wait()["messages"]
    assert (text(again), again["id"]) == (text(answer), answer["id"])


@pytest.mark.parametrize("sdk", EVERY)
def test_where_nothing_is_under_way_there_is_nothing_to_come_back_to(chat, sdk):
    talk = chat(sdk)
    for one in (talk, chat(sdk, id="a chat/that never was"), chat(sdk, id=str(ids.new()))):
        told = one.resume()
        assert (told["error"], told["messages"]) == (None, [])
        assert told["status"] == ("submitted" if sdk == "5" else "ready"), "the first of them stay as they are"
        assert told["raw"][-1]["status"] == 204


@pytest.mark.parametrize("sdk", EVERY)
def test_an_answer_that_fails_is_an_error_and_regenerating_asks_again(chat, sdk):
    talk = chat(sdk)
    told = talk.send(say={"text": "[[rehearse: fail=error after=3 interval=0]]"})
    assert (told["status"], "The rehearsal failed" in told["error"]) == ("error", True)
    assert '"code":"provider_error"' in told["raw"][0]["text"]
    again = talk.regenerate()
    assert (again["status"], "The rehearsal failed" in again["error"]) == ("error", True), "and it is asked again"
    assert again["raw"][1]["status"] == 200


@pytest.mark.parametrize("sdk", EVERY)
def test_regenerating_puts_another_answer_in_place_of_the_last(chat, sdk, live):
    talk = chat(sdk)
    talk.say("First [[rehearse: interval=0]]")
    [_, _, question, answer] = talk.say("Second [[rehearse: interval=0]]", files=[file()])["messages"]
    told = talk.regenerate(messageId=answer["id"])
    assert told["error"] is None
    [_, _, same, another] = told["messages"]
    assert same == question
    assert another["id"] != answer["id"]
    assert "with the 2 messages that you have sent so far" in text(another), "the question stands there once"
    assert "1 image" in text(another)
    rows = "SELECT role FROM chat_message WHERE conversation_id = %s ORDER BY turn_at, created_at"
    assert live.sql(rows, run_of(another)["sessionId"]) == [("user",), ("assistant",)] * 2


def file() -> dict:
    return {"type": "file", "mediaType": "image/png", "filename": "a.png", "url": PIXEL}


def test_a_refusal_is_the_error_of_the_chat(chat):
    told = chat("7", body={"companion": "nobody"}).send(say={"text": "Hello"})
    assert (told["status"], json.loads(told["error"])["code"]) == ("error", "unknown_companion")
    busy = chat("7")
    busy.begin(say={"text": "[[rehearse: tokens=60 interval=50]]"})
    eventually(lambda: len(busy.look()["messages"]) == 2, "it speaks")
    told = chat("7", id=busy.id).send(say={"text": "And this?"})
    assert json.loads(told["error"])["code"] == "conversation_busy"
    told = chat("7", id=busy.id, body={"on_conflict": "interrupt"}).send(say={"text": "[[rehearse: interval=0]]"})
    assert told["error"] is None
    [_, answer] = busy.wait()["messages"]
    assert run_of(answer)["status"] == "cancelled"


@pytest.mark.proves("POST /api/ai-sdk/chat", "GET /api/ai-sdk/chat/{chat_id}/stream", client="AI SDK 7")
def test_the_transport_of_the_migration_page_works_as_it_stands_there(node, live):
    folder = node("ai_sdk")
    [snippet] = re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.DOTALL)
    token = live.headers["Authorization"].removeprefix("Bearer ")
    page = snippet.replace("from 'ai'", "from 'ai7'").replace("https://countersign.example", live.base_url)
    message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hello [[rehearse: interval=0]]"}]}
    sent = {"chatId": "page", "trigger": "submit-message", "messages": [message]}
    program = f"""import {{ readUIMessageStream }} from 'ai7';
const token = {json.dumps(token)};
{page}
let last;
for await (const message of readUIMessageStream({{ stream: await transport.sendMessages({json.dumps(sent)}) }})) {{
  last = message;
}}
const idle = await transport.reconnectToStream({{ chatId: 'page' }});
console.log(JSON.stringify({{ last, idle }}));
"""
    command = ["node", "--input-type=module", "--eval", program]
    done_ = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done_.returncode == 0, done_.stderr
    told = json.loads(done_.stdout)
    assert "This is a rehearsal" in text(told["last"])
    assert told["idle"] is None
