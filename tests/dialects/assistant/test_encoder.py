"""The assistant's frames, as its clients read them."""

import json

import pytest

from agents.events import (
    ApprovalDecided,
    ApprovalRequested,
    Compacted,
    Edited,
    MemberEnded,
    MemoriesRecalled,
    MessageCompleted,
    ProviderChanged,
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
    TeamBegan,
    TextDelta,
    ToolFinished,
    ToolProposed,
    ToolStarted,
    Usage,
)
from chat.dialects.assistant.encoder import WAITS, Encoder

WHO = {"conversation_id": "c", "run_id": "r", "provider": "claude"}


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(conversation_id="c", run_id="r", provider="anthropic")


def told(encoder: Encoder, *events) -> list[dict]:
    """The data of the frames of these events, numbered from 1; each frame's event is its `type`."""
    found = []
    for frame in b"".join(encoder.sse(seq, event) for seq, event in enumerate(events, 1)).split(b"\n\n")[:-1]:
        lines = [line for line in frame.split(b"\n") if not line.startswith(b"id: ")]
        assert [line.partition(b": ")[0] for line in lines] == [b"event", b"data"]
        data = json.loads(lines[1].removeprefix(b"data: "))
        assert lines[0] == b"event: " + data["type"].encode()
        found.append(data)
    return found


def whole(text: str) -> dict:
    return {"type": "assistant", "text": text, "delta": ""}


def test_an_answer_is_meta_then_text_then_the_whole_of_it_then_done(encoder):
    assert encoder.meta() == (
        b'event: meta\ndata: {"type":"meta","conversation_id":"c","run_id":"r","provider":"claude"}\n\n'
    )
    assert encoder.sse(2, TextDelta("Good ")) == b'id: 2\nevent: text\ndata: {"type":"text","delta":"Good "}\n\n'
    assert encoder.sse(9, RunCompleted("m", "Good day", "anthropic", "claude-x")) == (
        b'event: assistant\ndata: {"type":"assistant","text":"Good day","delta":""}\n\n'
        b'id: 9\nevent: done\ndata: {"type":"done","reply":"Good day","conversation_id":"c","run_id":"r",'
        b'"provider":"claude"}\n\n'
    )


def test_what_a_model_says_stays_one_line_of_json(encoder):
    text = 'x\n\nevent: done\ndata: {}\r\u2028"'
    [one] = told(encoder, TextDelta(text))
    assert one == {"type": "text", "delta": text}


@pytest.mark.parametrize(
    ("event", "frames"),
    [
        (Status("the web is searched"), ["the web is searched"]),
        (ApprovalRequested("a", "c1", "tool", "write", "2026"), ["Tool waits for a manager's approval"]),
        (ApprovalDecided("a", "rejected", "Mia", "not now"), ["Mia decided: rejected: not now"]),
        (ApprovalDecided("a", "approved", "Mia"), ["Mia decided: approved"]),
        (
            ApprovalDecided("a", "approve", "Mia", "", ["Bo", "Mia"], Edited("Bo", {"service": "api"})),
            ["Bo and Mia decided: approve, with arguments changed by Bo"],
        ),
        (ProviderChanged("groq", "llama", "anthropic is away"), ["anthropic is away"]),
        (TeamBegan("auto", [{"agent_name": "Ada"}, {"agent_name": "Bo"}]), ["Ada, Bo answer"]),
        (MemberEnded("1", "Ada", "member", "1", None, "agent_disabled"), ["Ada did not answer: agent_disabled"]),
        (MemberEnded("1", "Ada", "member", "1", "r2"), []),
        (RunStarted("c", "x", "anthropic", "m"), []),
        (ToolProposed("c1", "device_control", {}), []),
        (Usage(1, 2, 0.1), []),
        (MemoriesRecalled(["m"]), []),
        (Compacted(3, "p", "m"), []),
        (MessageCompleted("m", "2026"), []),
    ],
)  # fmt: skip
def test_people_are_told_what_goes_on(encoder, event, frames):
    assert told(encoder, event) == [{"type": "status", "text": text, "label": text} for text in frames]


def test_thoughts_come_as_all_so_far_with_what_is_new(encoder):
    first, second = told(encoder, ReasoningDelta('Hm "a"\n'), ReasoningDelta("b"))
    assert first == {"type": "reasoning", "text": 'Hm "a"\n', "delta": 'Hm "a"\n'}
    assert second == {"type": "reasoning", "text": 'Hm "a"\nb', "delta": "b"}


def test_long_thoughts_are_told_in_growing_pieces_and_to_the_end(encoder):
    pieces = [f"thought {number}, " for number in range(2_000)]
    frames = told(encoder, *map(ReasoningDelta, pieces), TextDelta("So: "))
    thoughts = [one for one in frames if one["type"] == "reasoning"]
    assert frames[-1] == {"type": "text", "delta": "So: "}
    assert "".join(one["delta"] for one in thoughts) == thoughts[-1]["text"] == "".join(pieces)
    assert all(one["text"] == "".join(two["delta"] for two in thoughts[: n + 1]) for n, one in enumerate(thoughts))
    assert len(thoughts) < 300


def test_a_tool_begins_once_and_ends(encoder):
    begin = {"type": "tool_start", "name": "web_search", "label": "Web search"}
    events = (ToolStarted("c1", "web_search"), ToolFinished("c1", "web_search", True, "3 results"))
    assert told(encoder, *events) == [begin, {**begin, "type": "tool_end", "ok": True}]


def test_a_tool_that_ended_before_anybody_looked_began_too(encoder):
    begin = {"type": "tool_start", "name": "web_search", "label": "Web search"}
    found = told(encoder, ToolFinished("c1", "web_search", False, "failed"))
    assert found == [begin, {**begin, "type": "tool_end", "ok": False}]
    assert encoder.sse(7, ToolFinished("c2", "web_search", True, "")).count(b"id: 7\n") == 1


def test_a_wait_for_approval_ends_the_stream_and_says_so(encoder):
    last = {"type": "done", "reply": WAITS, **WHO, "status": "awaiting_approval", "approvals": ["a"]}
    assert told(encoder, RunWaiting(["a"], "", "anthropic", "m")) == [whole(WAITS), last]
    assert encoder.ended


def test_a_stopped_answer_is_told_as_far_as_it_came(encoder):
    assert told(encoder, RunCancelled("m", "So f", "Mia")) == [whole("So f"), {"type": "done", "reply": "So f", **WHO}]


def test_a_failure_is_one_error_and_nothing_comes_after_it(encoder):
    failed = RunFailed("stalled", "The model fell silent.", retryable=True)
    error = {"type": "error", "error": "The model fell silent.", **WHO, "code": "stalled", "retryable": True}
    assert told(encoder, TextDelta("So "), failed, TextDelta("far"), failed)[1:] == [error]


def test_an_answer_that_begins_anew_ends_the_stream_of_who_has_some_of_it(encoder):
    _, error = told(encoder, TextDelta("So "), RunRestarted(2, "worker_lost"), Snapshot(2, "So far"))
    assert (error["type"], error["code"], error["retryable"]) == ("error", "restarted", True)
    assert encoder.ended


def test_an_answer_that_begins_anew_goes_on_for_who_has_none_of_it(encoder):
    assert told(encoder, RunRestarted(2, "worker_lost", "groq", "m"), TextDelta("Hello")) == [
        {"type": "text", "delta": "Hello"}
    ]
    assert told(encoder, RunCompleted("m", "Hello"))[-1]["provider"] == "groq"


def test_a_snapshot_sets_what_the_reader_has(encoder):
    snapshot = Snapshot(1, "So far", "Hm")
    thought = {"type": "reasoning", "text": "Hm", "delta": "Hm"}
    assert told(encoder, snapshot) == [thought, {"type": "text", "delta": "So far"}]
    assert told(encoder, TextDelta("."), Snapshot(1, "So far.")) == [{"type": "text", "delta": "."}, whole("So far.")]


def test_several_who_speak_are_told_apart(encoder):
    ada, bo = Speaker("1", "Ada", "member", "1"), Speaker("2", "Bo", "member", "2")
    events = [TextDelta("a", ada), TextDelta("b", ada), TextDelta("c", bo)]
    assert [one["delta"] for one in told(encoder, *events)] == ["Ada: a", "b", "\n\nBo: c"]


def test_a_fault_of_the_stream_is_an_error_that_may_be_tried_again(encoder):
    [_, data, *_] = encoder.fault().split(b"\n")
    told = json.loads(data.removeprefix(b"data: "))
    assert told.items() >= {"type": "error", **WHO, "code": "internal_error", "retryable": True}.items()
