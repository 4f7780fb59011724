"""Chunks and bodies of chat completions, as pure functions of events."""

import json

import pytest

from agents.events import (
    FILTERED,
    LENGTH,
    ApprovalRequested,
    MessageCompleted,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRestarted,
    RunStarted,
    RunWaiting,
    Snapshot,
    Speaker,
    Status,
    TextDelta,
    ToolFinished,
    ToolProposed,
    ToolStarted,
    Usage,
)
from chat import stream
from chat.dialects.openai.encoder import FAULT, About, Answer, Encoder

METADATA = {"session_id": "s", "run_id": "r"}
STARTED = RunStarted("s", "smart-home", "openai", "gpt-4o")
CALL = {"call_id": "call_1_1", "name": "getLocation", "arguments": {"precise": True}}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1767225600, "model": "companion/smart-home"}


def about(**more) -> About:
    return About(id="chatcmpl-1", created=1767225600, model="companion/smart-home", metadata=METADATA, **more)


def completed(text: str) -> list:
    return [MessageCompleted("m", "2026-01-01T00:00:00Z"), RunCompleted("m", text)]


def frames(*events, usage: bool = False, **more) -> list:
    """The data of a stream's frames; the mark of the end as it is."""
    encoder = Encoder(about(**more), usage=usage)
    told = encoder.first() + b"".join(encoder.sse(number, event) for number, event in enumerate(events, 1))
    lines = told.decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def text(chunks: list) -> str:
    deltas = [one["choices"][0]["delta"] for one in chunks if isinstance(one, dict) and one.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


def body(*events, **more) -> dict:
    answer = Answer(about(**more))
    for event in events:
        answer.step(event)
    return answer.body()


def test_an_answer_is_a_role_its_pieces_a_reason_and_the_mark_of_the_end():
    told = frames(STARTED, TextDelta("Hel"), TextDelta('lo "you"\n'), *completed('Hello "you"\n'))
    choice = {"index": 0, "logprobs": None, "finish_reason": None}
    assert told == [
        {
            **HEAD,
            "choices": [{**choice, "delta": {"role": "assistant", "content": "", "refusal": None}}],
            "metadata": METADATA,
        },
        {**HEAD, "choices": [{**choice, "delta": {"content": "Hel"}}]},
        {**HEAD, "choices": [{**choice, "delta": {"content": 'lo "you"\n'}}]},
        {**HEAD, "choices": [{**choice, "delta": {}, "finish_reason": "stop"}], "metadata": METADATA},
        "[DONE]",
    ]


def test_usage_is_null_in_every_chunk_and_told_in_one_more():
    told = frames(STARTED, TextDelta("Hi"), ReasoningDelta("hm"), Usage(7, 2, 0.1), *completed("Hi"), usage=True)
    assert [one["usage"] for one in told[:-2]] == [None] * 4
    assert told[-2] == {
        **HEAD,
        "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }
    assert frames(STARTED, *completed(""), usage=True)[-2]["usage"] is None, "nobody told it"
    assert all("usage" not in one for one in frames(STARTED, Usage(7, 2), *completed(""))[:-1])


def test_thoughts_are_reasoning_content():
    events = [STARTED, ReasoningDelta("let me see"), TextDelta("Yes"), *completed("Yes")]
    assert [one["choices"][0]["delta"] for one in frames(*events)[1:3]] == [
        {"reasoning_content": "let me see"},
        {"content": "Yes"},
    ]
    message = body(*events)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "Yes", "refusal": None, "reasoning_content": "let me see"}


def test_the_clients_calls_are_told_once_with_their_index_and_end_the_answer():
    more = {"call_id": "call_1_2", "name": "beep", "arguments": {}}
    proposed = [ToolProposed(one["call_id"], one["name"], one["arguments"], client=True) for one in (CALL, more)]
    told = frames(STARTED, TextDelta("A moment."), *proposed, RunWaiting([], "A moment.", calls=[CALL, more]))
    calls = [one["choices"][0]["delta"]["tool_calls"] for one in told[2:4]]
    assert calls == [
        [
            {
                "index": place,
                "id": one["call_id"],
                "type": "function",
                "function": {"name": one["name"], "arguments": json.dumps(one["arguments"], separators=(",", ":"))},
            }
        ]
        for place, one in enumerate((CALL, more))
    ]
    assert told[4]["choices"][0]["finish_reason"] == "tool_calls"
    [choice] = body(STARTED, *proposed, RunWaiting([], "", calls=[CALL, more]))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [one["id"] for one in choice["message"]["tool_calls"]] == ["call_1_1", "call_1_2"]


def test_the_servers_own_calls_are_not_the_clients_business():
    events = [
        STARTED,
        ToolProposed("c", "lights", {}),
        ToolStarted("c", "lights"),
        ToolFinished("c", "lights", True, ""),
    ]
    told = frames(*events, TextDelta("On."), *completed("On."))
    assert len(told) == 4
    assert text(told) == "On."


@pytest.mark.parametrize(("code", "reason"), [(LENGTH, "length"), (FILTERED, "content_filter"), ("", "stop")])
def test_why_a_model_stopped_is_told(code, reason):
    events = [STARTED, TextDelta("Hi"), Status("it stopped", code), *completed("Hi")]
    assert frames(*events)[-2]["choices"][0]["finish_reason"] == reason
    assert body(*events)["choices"][0]["finish_reason"] == reason


def test_a_model_that_goes_on_after_a_tool_has_not_stopped():
    events = [STARTED, Status("cut", LENGTH), ToolFinished("c", "lights", True, ""), TextDelta("Hi"), *completed("Hi")]
    assert frames(*events)[-2]["choices"][0]["finish_reason"] == "stop"


def test_an_approval_is_named_in_the_text_and_in_the_metadata():
    asked = ApprovalRequested("a1", "c", "door_unlock", "high", "2026-01-01T00:00:00Z")
    events = [STARTED, TextDelta("I ask."), asked, RunWaiting(["a1", "a2"], "I ask.")]
    told, whole = frames(*events), body(*events)
    expected = "I ask.\n\n[Waiting for approval a1 of door_unlock.]\n[Waiting for approval a2.]"
    assert text(told) == whole["choices"][0]["message"]["content"] == expected
    assert told[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "stop"
    assert told[-2]["metadata"] == whole["metadata"] == {**METADATA, "approval_id": "a1", "approval_ids": "a1,a2"}


def test_one_that_waits_for_a_person_says_so():
    assert "looked into" in text(frames(STARTED, RunWaiting([], "")))


def test_several_speakers_are_named_where_they_begin():
    one, two = (Speaker(str(place), name, "member", str(place)) for place, name in enumerate(("Hestia", "Argus")))
    events = [STARTED, TextDelta("A", one), TextDelta("B", one), TextDelta("C", two), *completed("ABC")]
    assert text(frames(*events)) == "**Hestia:** AB\n\n**Argus:** C"
    assert body(*events)["choices"][0]["message"]["content"] == "**Hestia:** AB\n\n**Argus:** C"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("budget_exceeded", "insufficient_quota"),
        ("provider_error", "server_error"),
        ("context_too_long", "invalid_request_error"),
    ],
)
def test_a_failure_is_one_frame_with_all_four_keys(code, kind):
    told = frames(STARTED, TextDelta("Hi"), RunFailed(code, "It failed."), RunFailed(code, "again"))
    error = told[-2]["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["message"], error["type"]) == ("It failed.", kind)
    assert told[-1] == "[DONE]"
    assert len(told) == 4
    assert json.loads(FAULT[6:])["error"]["type"] == "server_error"


def test_a_cancelled_answer_ends_as_it_is():
    assert frames(STARTED, TextDelta("Hi"), RunCancelled("m", "Hi"))[-2]["choices"][0]["finish_reason"] == "stop"


def test_an_answer_that_begins_anew_before_it_was_read_goes_unnoticed():
    told = frames(STARTED, RunRestarted(2, "worker_lost"), TextDelta("Hi"), *completed("Hi"))
    assert text(told) == "Hi"
    assert told[-2]["choices"][0]["finish_reason"] == "stop"


def test_an_answer_that_goes_on_from_what_was_read_goes_on():
    events = [STARTED, TextDelta("One. "), RunRestarted(2, "worker_lost"), Snapshot(2, "One. Two. ")]
    told = frames(*events, TextDelta("Three."), *completed("One. Two. Three."))
    assert text(told) == "One. Two. Three."
    assert body(*events, TextDelta("Three."))["choices"][0]["message"]["content"] == "One. Two. Three."


@pytest.mark.parametrize(
    "then", [Snapshot(2, "Other"), TextDelta("Other"), RunCompleted("m", "")], ids=lambda one: type(one).__name__
)
def test_an_answer_that_takes_back_what_was_read_is_an_error(then):
    told = frames(STARTED, TextDelta("One. "), RunRestarted(2, "worker_lost"), then, TextDelta("more"), *completed("x"))
    assert told[-2]["error"]["code"] == "restarted"
    assert told[-1] == "[DONE]"
    assert text(told) == "One. "
    assert (
        body(STARTED, TextDelta("One. "), RunRestarted(2, "worker_lost"), TextDelta("Two."))["choices"][0]["message"][
            "content"
        ]
        == "Two."
    ), "nobody has read any of a body"


async def test_a_stream_that_ended_by_an_error_is_closed_though_the_run_goes_on():
    closed = []

    async def batches():
        try:
            yield [(1, STARTED), (2, TextDelta("One. "))]
            yield [(3, RunRestarted(2, "worker_lost")), (4, TextDelta("Other"))]
            raise AssertionError("nobody reads on")
        finally:
            closed.append(True)

    encoder = Encoder(about(), usage=False)
    response = stream.sse(stream.until(batches(), lambda: encoder.over), encoder, fault=b"fault")
    told = b"".join([chunk async for chunk in response])
    assert told.endswith(b'"code":"restarted"}}\n\ndata: [DONE]\n\n')
    assert closed == [True]


def test_what_a_client_was_told_before_its_tools_is_not_told_again():
    more = {"said": "A moment. ", "used": Usage(10, 3)}
    after = [ToolFinished("c", "getLocation", True, ""), TextDelta("In Berlin."), Usage(30, 9)]
    told = frames(*after, *completed("A moment. In Berlin."), usage=True, **more)
    assert text(told) == "In Berlin."
    assert told[-2]["usage"] == {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26}
    lost = [Snapshot(1, "A moment. In Berlin."), *completed("A moment. In Berlin.")]
    assert text(frames(*lost, **more)) == "In Berlin."
    assert body(*lost, **more)["choices"][0]["message"]["content"] == "In Berlin."
