"""The released clients of OpenAI's API for Python, as they are, at a real stack."""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.chat.asking import Person
from tests.pictures import picture, saved
from tests.servers.stack import Stack, eventually

AT_ONCE = "[[rehearse: interval=0]]"  # in place of word by word
HELLO = [{"role": "user", "content": f"Hello {AT_ONCE}"}]
LOCATION = {
    "type": "function",
    "function": {
        "name": "getLocation",
        "description": "Where the person is.",
        "parameters": {"type": "object", "properties": {"precise": {"type": "boolean"}}},
    },
}
COMPLETIONS = "POST /v1/chat/completions"
CALL = '[[rehearse: call=getLocation {"precise": true}]]'
PNG = base64.b64encode(saved(picture())).decode()


@pytest.fixture(scope="module")
def client(live: Stack) -> Iterator[openai.OpenAI]:
    """OpenAI's client with the demo's member's key."""
    with openai.OpenAI(base_url=f"{live.base_url}/v1", api_key=live.demo["keys"]["secret"], max_retries=0) as one:
        yield one


@pytest.fixture(scope="module")
def native(live: Stack) -> Iterator[httpx.Client]:
    """The same person at the native dialect."""
    with httpx.Client(base_url=live.base_url, headers=live.headers, timeout=60, trust_env=False) as one:
        yield one


@pytest.fixture(scope="module")
def manager(live: Stack) -> Iterator[Person]:
    """Who decides."""
    one = Person(live, "manager")
    with closing(one.http):
        yield one


def snippets(language: str) -> list[str]:
    """The snippets of the docs' page in this language."""
    page = Path(__file__).parents[3] / "docs" / "clients" / "openai.md"
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def chat(live: Stack) -> Iterator[Callable[..., ChatOpenAI]]:
    """Makes LangChain's chat model, with the same key."""
    with openai.DefaultHttpxClient() as http:

        def make(model: str = "companion/devops", **more) -> ChatOpenAI:
            key = live.demo["keys"]["secret"]
            how = {"base_url": f"{live.base_url}/v1", "api_key": key, "http_client": http, "max_retries": 0}
            return ChatOpenAI(model=model, **how, **more)

        yield make


@pytest.mark.parametrize("model", ["companion/smart-home", "agent/smart-home", "rehearsal"])
@pytest.mark.proves("POST /v1/chat/completions", client="openai for Python")
def test_everybody_answers_in_one_body(client, model):
    answer = client.chat.completions.create(model=model, messages=HELLO)
    assert (answer.object, answer.model) == ("chat.completion", model)
    [choice] = answer.choices
    assert (choice.finish_reason, choice.message.role, choice.message.tool_calls) == ("stop", "assistant", None)
    assert "You asked: “Hello”" in choice.message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert ("Hestia" in choice.message.content) == (model != "rehearsal"), "a model alone is told of nobody"


def test_a_team_answers_with_who_said_what(client):
    answer = client.chat.completions.create(model="team/household", messages=HELLO, timeout=60)
    assert "**Hestia:**" in answer.choices[0].message.content


@pytest.mark.proves("POST /v1/chat/completions", client="openai for Python")
def test_a_stream_is_put_together_by_the_client(client):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model="companion/smart-home", messages=HELLO, **options))
    assert len({(one.id, one.created, one.model, one.object) for one in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [one.usage is None for one in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].choices == []
    assert [one.choices[0].finish_reason for one in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    with client.chat.completions.stream(model="companion/smart-home", messages=HELLO) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert "You asked: “Hello”" in final.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"


def test_thoughts_come_beside_the_answer(client):
    options = {"model": "rehearsal-reasoning", "messages": HELLO}
    message = client.chat.completions.create(**options).choices[0].message
    assert "I shall say" in message.reasoning_content
    assert "I shall say" not in message.content
    deltas = [one.choices[0].delta for one in client.chat.completions.create(**options, stream=True)]
    assert "".join(getattr(one, "reasoning_content", None) or "" for one in deltas) == message.reasoning_content


def test_the_clients_messages_are_the_conversation(client):
    said = [
        {"role": "system", "content": "You are Zeus."},
        {"role": "user", "content": "I am Ada."},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": [{"type": "text", "text": "Who am I?"}]},
    ]
    answer = client.chat.completions.create(model="rehearsal", messages=said).choices[0].message.content
    assert "With a model set up, Zeus would answer here, with the 2 messages that you have sent so far" in answer
    assert "You asked: “Who am I?”" in answer
    answer = client.chat.completions.create(model="companion/smart-home", messages=said).choices[0].message.content
    assert "With a model set up, Hestia would answer here, with the 2 messages" in answer, (
        "its own persona stands above"
    )


def test_an_answer_is_as_long_as_it_may_be(client):
    answer = client.chat.completions.create(
        model="rehearsal", messages=[{"role": "user", "content": "[[rehearse: tokens=30 interval=0]]"}], max_tokens=5
    )
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 5)


def test_a_session_of_ours_goes_on_where_it_is_named(client, native):
    first = client.chat.completions.with_raw_response.create(model="companion/smart-home", messages=HELLO)
    session = first.headers["X-Session-Id"]
    listed = {one["id"] for one in native.get("/v1/ai/sessions?limit=100").json()["sessions"]}
    assert session not in listed, "whoever holds a conversation keeps its list"
    said = [{"role": "user", "content": "not heard"}, {"role": "user", "content": f"And now? {AT_ONCE}"}]
    for more in ({"metadata": {"session_id": session, "page": "7"}}, {"extra_headers": {"X-Session-Id": session}}):
        answer = client.chat.completions.create(model="companion/smart-home", messages=said, **more)
        assert answer.metadata["session_id"] == session
    assert "with the 3 messages that you have sent" in answer.choices[0].message.content
    told = native.get(f"/v1/ai/sessions/{session}").json()
    assert [one["content"] for one in told["messages"] if one["role"] == "user"] == [
        HELLO[0]["content"],
        *[said[1]["content"]] * 2,
    ]
    assert [one["metadata"] for one in told["messages"] if one["role"] == "user"] == [{}, {"page": "7"}, {}]
    assert session in {one["id"] for one in native.get("/v1/ai/sessions?limit=100").json()["sessions"]}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="rehearsal", messages=HELLO, metadata={"session_id": session})
    assert (refused.value.param, refused.value.code) == ("model", "mismatch")


@pytest.mark.parametrize("streamed", [False, True])
def test_the_clients_tools_are_called_and_the_same_run_goes_on(client, native, streamed):
    said = [{"role": "user", "content": CALL}]
    message, reason, first = spoken(client, streamed, model="companion/devops", messages=said, tools=[LOCATION])
    [call] = message["tool_calls"]
    assert (call["type"], call["function"]["name"], reason) == ("function", "getLocation", "tool_calls")
    assert call["function"]["arguments"] == '{"precise":true}'
    said += [message, {"role": "tool", "tool_call_id": call["id"], "content": "in Berlin"}]
    message, reason, second = spoken(client, streamed, model="companion/devops", messages=said, tools=[LOCATION])
    assert reason == "stop"
    assert "in Berlin" in message["content"]
    assert "I call getLocation" not in message["content"], "what was said before is not said again"
    assert first["run_id"] == second["run_id"]
    run = native.get(f"/v1/ai/runs/{first['run_id']}").json()
    assert run["status"] == "completed"
    said[2]["content"] = "in Paris"
    message, reason, third = spoken(client, streamed, model="companion/devops", messages=said, tools=[LOCATION])
    assert (reason, "in Paris" in message["content"]) == ("stop", True), "no run waits: it is what the client quotes"
    assert third["run_id"] != first["run_id"]


def spoken(client: openai.OpenAI, streamed: bool, **body) -> tuple[dict, str, dict]:
    """The answer as a message to send back, why it ended, and what it tells of itself."""
    if not streamed:
        answer = client.chat.completions.create(**body)
        [choice] = answer.choices
        return choice.message.model_dump(exclude_none=True), choice.finish_reason, answer.metadata
    with client.chat.completions.stream(**body) as stream:
        metadata = next(event.chunk.metadata for event in stream if event.type == "chunk")
        [choice] = stream.get_final_completion().choices
    message = choice.message.model_dump(exclude_none=True, exclude={"parsed"})
    for call in message.get("tool_calls", ()):
        call["function"].pop("parsed_arguments", None)
    return message, choice.finish_reason, metadata


def test_the_servers_tools_run_here(client):
    said = [{"role": "user", "content": "status of the web service please"}]
    message = client.chat.completions.create(model="companion/devops", messages=said).choices[0].message
    assert message.tool_calls is None
    assert "service_status" in message.content


def test_an_approval_is_named_and_waited_for_as_long_as_the_client_says(client, live, native, manager):
    said = [{"role": "user", "content": "Please restart the web service"}]
    raw = client.chat.completions.with_raw_response.create(model="companion/devops", messages=said)
    answer, approval = raw.parse(), raw.headers["X-Countersign-Approval"]
    assert answer.metadata["approval_id"] == approval
    assert f"[Waiting for approval {approval} of service_restart.]" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert manager.decide(approval, decision="approve").status_code == 200
    run = f"/v1/ai/runs/{answer.metadata['run_id']}"
    eventually(lambda: native.get(run).json()["status"] == "completed", "it goes on without its client")

    stream = client.chat.completions.create(
        model="companion/devops", messages=said, stream=True, extra_headers={"X-Countersign-Wait": "60"}
    )
    run_id = next(stream).metadata["run_id"]
    waiting = "SELECT approval_id FROM chat_action WHERE run_id = %s AND state = 'waiting'"
    [(approval,)] = eventually(lambda: live.sql(waiting, run_id), "it asks")
    assert manager.decide(str(approval), decision="approve").status_code == 200
    chunks = list(stream)
    assert "Waiting for approval" not in "".join(one.choices[0].delta.content or "" for one in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_images_come_as_data_urls(client):
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    said = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]
    answer = client.chat.completions.create(model="rehearsal", messages=said).choices[0].message.content
    assert "With it came 1 image (image/png" in answer
    said += [{"role": "assistant", "content": answer}, {"role": "user", "content": [image, image]}]
    answer = client.chat.completions.create(model="companion/smart-home", messages=said).choices[0].message.content
    assert "With it came 2 images" in answer


@pytest.mark.proves("GET /v1/models", "GET /v1/models/{model}", client="openai for Python")
def test_models_are_listed_and_found_by_names_with_a_slash(client):
    listed = {one.id: one for one in client.models.list()}
    assert {"companion/smart-home", "agent/smart-home", "team/household", "rehearsal"} <= set(listed)
    assert all(one.object == "model" and one.created > 0 and one.owned_by for one in listed.values())
    for name, one in listed.items():
        assert client.models.retrieve(name) == one
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("companion/nobody")
    assert (missing.value.code, missing.value.type) == ("model_not_found", "invalid_request_error")


def test_errors_are_those_that_the_client_knows(client, live):
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-nobody", messages=HELLO)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="rehearsal", messages=[{"role": "assistant", "content": "Hi"}])
    assert refused.value.param == "messages"
    unknown_key = openai.OpenAI(base_url=f"{live.base_url}/v1", api_key="sk_live_cs_nothing", max_retries=0)
    with unknown_key, pytest.raises(openai.AuthenticationError) as unknown:
        unknown_key.models.list()
    assert unknown.value.code == "invalid_api_key"
    failing = [{"role": "user", "content": "[[rehearse: after=3 fail=error]]"}]
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="rehearsal", messages=failing)
    assert (failed.value.status_code, failed.value.type) == (502, "server_error")
    stream = client.chat.completions.create(model="rehearsal", messages=failing, stream=True)
    with stream, pytest.raises(openai.APIError) as broken:
        list(stream)
    assert set(broken.value.body) == {"message", "type", "param", "code"}


@pytest.mark.proves("POST /v1/chat/completions", client="langchain-openai")
def test_langchain_invokes_streams_and_counts(chat):
    model = chat("rehearsal", stream_usage=True)
    said = [SystemMessage("You are Zeus."), HumanMessage(HELLO[0]["content"])]
    told = model.invoke(said)
    assert "With a model set up, Zeus would answer here" in told.content
    assert told.usage_metadata["total_tokens"] > 0
    assert told.response_metadata["finish_reason"] == "stop"
    whole = None
    for chunk in model.stream(said):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == told.content
    assert whole.usage_metadata == told.usage_metadata


@pytest.mark.proves("POST /v1/chat/completions", client="langchain-openai")
def test_langchain_calls_its_tools_and_goes_on(chat):
    model = chat().bind_tools([LOCATION])
    said = [HumanMessage(CALL)]
    told = model.invoke(said)
    assert isinstance(told, AIMessage)
    [call] = told.tool_calls
    assert (call["name"], call["args"]) == ("getLocation", {"precise": True})
    said += [told, ToolMessage("in Berlin", tool_call_id=call["id"])]
    assert "in Berlin" in model.invoke(said).content


def test_langchain_has_an_object_of_a_shape(chat):
    forced = chat().with_structured_output(LOCATION, method="function_calling")
    assert forced.invoke(CALL) == {"precise": True}


@pytest.mark.parametrize(
    ("place", "told"),
    [
        pytest.param(
            0,
            "device_list said:",
            id="openai",
            marks=pytest.mark.proves(COMPLETIONS, client="openai for Python"),
        ),
        pytest.param(
            1, "device_list said:", id="langchain", marks=pytest.mark.proves(COMPLETIONS, client="langchain-openai")
        ),
        pytest.param(
            2, "with the 2 messages", id="session", marks=pytest.mark.proves(COMPLETIONS, client="openai for Python")
        ),
    ],
)
def test_the_snippets_of_the_docs_run(live, place, told):
    environment = {**os.environ, "BASE_URL": live.base_url, "KEY": live.demo["keys"]["secret"]}
    command = [sys.executable, "-c", snippets("python")[place]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert told in done.stdout, done.stderr
