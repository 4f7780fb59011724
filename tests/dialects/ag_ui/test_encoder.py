"""AG-UI's frames: exactly what a client reads, and always balanced."""

import json
from collections.abc import Iterable

import pytest

from agents.events import (
    ApprovalDecided,
    ApprovalRequested,
    Compacted,
    Edited,
    Event,
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
from chat.dialects.ag_ui.encoder import RESPONSE_SCHEMA, Encoder

RUN, SESSION = "0199-run", "0199-session"
IDS = {"threadId": "t-1", "runId": "r-1"}
STARTED = RunStarted(SESSION, "devops", "openai", "gpt-4o-mini")
DONE = RunCompleted("m", "Hello there", "openai", "gpt-4o-mini")
ASKED = ApprovalRequested("ap-1", "call_1_1", "service_restart", "high", "2026-01-01T00:00:00Z")
PROPOSED = ToolProposed("call_1_1", "service_restart", {"service": "web"})
LOCATE = ToolProposed("call_1_2", "getLocation", {"precise": True}, client=True)


def encoder(**more) -> Encoder:
    return Encoder(thread_id="t-1", run_id="r-1", run=RUN, session_id=SESSION, **more)


def told(events: Iterable[Event], encode: Encoder | None = None, first: int = 1) -> list[dict]:
    """The frames of these events, numbered from the first."""
    encode = encode or encoder()
    frames = b"".join(encode.sse(seq, event) for seq, event in enumerate(events, first)).decode()
    assert frames == "" or frames.endswith("\n\n")
    lines = frames.removesuffix("\n\n").split("\n\n") if frames else []
    assert all(line.startswith("data: {") and "\n" not in line for line in lines), "one line of data a frame"
    found = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert not any(value is None for frame in found for value in frame.values()), "what is empty is left out"
    return found


def kinds(frames: list[dict]) -> list[str]:
    return [frame["type"] for frame in frames]


def test_a_stream_begins_with_the_clients_own_ids():
    ours = {"sessionId": SESSION, "runId": RUN}
    frame = {"type": "RUN_STARTED", **IDS, "protocolVersion": "1.0", "metadata": {"countersign": ours}}
    assert encoder().begin() == b"data: " + json.dumps(frame, separators=(",", ":")).encode() + b"\n\n"


def test_a_client_that_declares_no_version_is_told_no_field_of_1_0():
    assert encoder(declared=False).begin() == b'data: {"type":"RUN_STARTED","threadId":"t-1","runId":"r-1"}\n\n'
    frames = told([STARTED, TextDelta("Hi"), Usage(1, 2, 0.1), DONE], encoder(declared=False))
    assert frames[-1] == {"type": "RUN_FINISHED", **IDS}
    assert told([RunCancelled(None, "")], encoder(declared=False)) == [{"type": "RUN_FINISHED", **IDS}]


def test_what_is_no_run_of_the_clients_names_none():
    nothing = Encoder(thread_id="t-1", run_id="r-1", messages=[{"id": ".1", "role": "user", "content": "x"}])
    assert json.loads(nothing.begin()[6:]) == {"type": "RUN_STARTED", **IDS, "protocolVersion": "1.0"}
    assert kinds(told([RunCompleted("", "")], nothing)) == ["RUN_FINISHED"]


def test_a_text_is_opened_once_and_closed_before_the_end():
    frames = told([STARTED, TextDelta("Hello "), TextDelta(""), TextDelta('"there"\n'), Usage(3, 4, None), DONE])
    message = {"messageId": f"{RUN}.2"}
    counted = {"provider": "openai", "model": "gpt-4o-mini", "inputTokens": 3, "outputTokens": 4}
    assert frames == [
        {"type": "TEXT_MESSAGE_START", **message, "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", **message, "delta": "Hello "},
        {"type": "TEXT_MESSAGE_CONTENT", **message, "delta": '"there"\n'},
        {"type": "TEXT_MESSAGE_END", **message},
        {"type": "RUN_FINISHED", **IDS, "usage": [counted]},
    ]


def test_a_thought_has_the_events_of_reasoning_and_ends_before_the_text():
    frames = told([STARTED, ReasoningDelta("Hm"), ReasoningDelta(", yes"), TextDelta("Yes"), DONE])
    thought = {"messageId": f"{RUN}.2.thought"}
    assert frames[:6] == [
        {"type": "REASONING_START", **thought},
        {"type": "REASONING_MESSAGE_START", **thought, "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", **thought, "delta": "Hm"},
        {"type": "REASONING_MESSAGE_CONTENT", **thought, "delta": ", yes"},
        {"type": "REASONING_MESSAGE_END", **thought},
        {"type": "REASONING_END", **thought},
    ]
    assert kinds(frames[6:]) == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"]


def test_a_call_is_a_part_of_its_turns_message_and_its_result_one_of_its_own():
    events = [STARTED, TextDelta("I look."), PROPOSED, ToolStarted("call_1_1", "service_restart")]
    result = ToolFinished("call_1_1", "service_restart", True, "web: restarted")
    frames = told([*events, result, TextDelta("Done."), DONE])
    call = {"toolCallId": "call_1_1"}
    assert frames[2:8] == [
        {"type": "TEXT_MESSAGE_END", "messageId": f"{RUN}.2"},
        {"type": "TOOL_CALL_START", **call, "toolCallName": "service_restart", "parentMessageId": f"{RUN}.2"},
        {"type": "TOOL_CALL_ARGS", **call, "delta": '{"service":"web"}'},
        {"type": "TOOL_CALL_END", **call},
        {"type": "CUSTOM", "name": "countersign.status", "value": {"label": "service_restart is running"}},
        {"type": "TOOL_CALL_RESULT", "messageId": f"{RUN}.5", **call, "content": "web: restarted", "role": "tool"},
    ]
    assert frames[8] == {"type": "TEXT_MESSAGE_START", "messageId": f"{RUN}.6", "role": "assistant"}


def test_two_calls_without_a_text_stand_in_one_message():
    frames = told([STARTED, PROPOSED, LOCATE])
    parents = [frame["parentMessageId"] for frame in frames if frame["type"] == "TOOL_CALL_START"]
    assert parents == [f"{RUN}.2", f"{RUN}.2"]


def test_a_run_that_waits_for_an_approval_ends_with_an_interrupt():
    frames = told([STARTED, TextDelta("I ask."), PROPOSED, ASKED, RunWaiting(["ap-1"], "I ask.")])
    asked = next(frame for frame in frames if frame["type"] == "CUSTOM")
    assert asked["name"] == "countersign.approval_required"
    assert asked["value"]["approvalId"] == "ap-1"
    [interrupt] = frames[-1]["outcome"].pop("interrupts")
    assert frames[-1] == {"type": "RUN_FINISHED", **IDS, "outcome": {"type": "interrupt"}}
    assert interrupt == {
        "id": "ap-1",
        "reason": "tool_call",
        "toolCallId": "call_1_1",
        "expiresAt": "2026-01-01T00:00:00Z",
        "message": "service_restart (high) waits for an approval.",
        "responseSchema": RESPONSE_SCHEMA,
    }


def test_an_interrupt_that_was_told_before_is_told_again_in_full():
    [frame] = told([RunWaiting(["ap-1"], "")], encoder(asked=[ASKED]))
    [interrupt] = frame["outcome"]["interrupts"]
    assert (interrupt["toolCallId"], interrupt["expiresAt"]) == ("call_1_1", "2026-01-01T00:00:00Z")
    [frame] = told([RunWaiting(["ap-2"], "")])
    assert frame["outcome"]["interrupts"] == [{"id": "ap-2", "reason": "tool_call", "responseSchema": RESPONSE_SCHEMA}]


def test_a_run_that_waits_for_its_client_ends_without_an_interrupt():
    frames = told([STARTED, LOCATE, RunWaiting([], "", calls=[{"call_id": "call_1_2"}])])
    assert kinds(frames) == ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "RUN_FINISHED"]
    assert "outcome" not in frames[-1]


def test_a_run_that_waits_for_a_word_on_an_unknown_outcome_does_not_look_finished():
    [frame] = told([RunWaiting([], "")])
    [interrupt] = frame["outcome"]["interrupts"]
    assert (interrupt["id"], interrupt["reason"]) == (RUN, "unknown_outcome")


def test_what_the_client_brought_is_not_told_it_again():
    finished = ToolFinished("call_1_2", "getLocation", True, "getLocation: Berlin")
    assert told([finished], encoder(brought=["call_1_2"])) == []
    [frame] = told([finished], encoder(brought=["call_1_1"]))
    assert frame["content"] == "getLocation: Berlin"


def test_an_answer_that_begins_anew_takes_back_what_was_told_of_it():
    before = {"id": "u-1", "role": "user", "content": "Hello"}
    frames = told([STARTED, TextDelta("Half"), RunRestarted(2, "worker_lost"), TextDelta("Whole"), DONE],
                  encoder(messages=[before]))  # fmt: skip
    assert kinds(frames) == [
        "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "MESSAGES_SNAPSHOT",
        "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED",
    ]  # fmt: skip
    assert frames[3]["messages"] == [before]


def test_a_snapshot_stands_in_place_of_all_before_it():
    frames = told([STARTED, TextDelta("Ha"), Snapshot(1, "Half of it", "Hm"), TextDelta("."), DONE])
    assert kinds(frames)[3:9] == ["MESSAGES_SNAPSHOT", "REASONING_START", "REASONING_MESSAGE_START",
                                  "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_END", "REASONING_END"]  # fmt: skip
    assert [frame["delta"] for frame in frames[9:] if "delta" in frame] == ["Half of it", "."]
    assert "MESSAGES_SNAPSHOT" not in kinds(told([STARTED, Snapshot(1, "Half", "")])), "nothing is to be taken back"
    before = [{"id": f"{RUN}.2", "role": "assistant", "content": "Ha"}]
    again = kinds(told([STARTED, Snapshot(1, "Half", "")], encoder(messages=before)))
    assert again.count("MESSAGES_SNAPSHOT") == 1, "it is taken back once"


def test_a_run_that_is_told_anew_leaves_the_client_its_other_messages():
    messages = [
        {"id": "u-1", "role": "user", "content": "Where am I?"},
        {"id": f"{RUN}.2", "role": "assistant", "content": "I look.", "toolCalls": [{"id": "call_1_2"}]},
        {"id": "x-1", "role": "tool", "toolCallId": "call_1_2", "content": '{"city":"Berlin"}'},
    ]
    finished = ToolFinished("call_1_2", "getLocation", True, "getLocation: Ber…")
    frames = told([STARTED, TextDelta("I look."), LOCATE, finished, DONE], encoder(messages=messages))
    assert frames[0] == {"type": "MESSAGES_SNAPSHOT", "messages": messages[:1]}
    [result] = [frame for frame in frames if frame["type"] == "TOOL_CALL_RESULT"]
    assert result["content"] == '{"city":"Berlin"}', "what it brought itself it gets back whole"


def test_odd_messages_of_a_client_spoil_nothing():
    ours = {"id": f"{RUN}.1", "toolCalls": [5, {"id": []}]}
    odd = [{}, {"id": 5}, ours, {"role": "tool", "toolCallId": {}}, {"id": f"{RUN}.2", "toolCalls": 7}]
    frames = told([STARTED], encoder(messages=odd))
    assert frames[0]["messages"] == [odd[0], odd[1], odd[3]]


def test_each_speaker_of_several_has_a_message_of_their_own():
    one, other = (Speaker(str(n), f"Agent {n}", "member", f"p{n}") for n in (1, 2))
    frames = told([STARTED, TextDelta("a", one), TextDelta("b", other), TextDelta("c", one), TextDelta("d"), DONE])
    begun = [(frame["messageId"], frame.get("name")) for frame in frames if frame["type"] == "TEXT_MESSAGE_START"]
    first, second = (f"{RUN}.2", "Agent 1"), (f"{RUN}.3", "Agent 2")
    assert begun == [first, second, first, (f"{RUN}.5", None)]


def test_a_failure_closes_what_is_open_and_is_the_last_word():
    frames = told([STARTED, TextDelta("Ha"), RunFailed("provider_error", "It broke.", False)])
    assert kinds(frames)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
    assert frames[-1] == {"type": "RUN_ERROR", "message": "It broke.", "code": "provider_error"}


def test_a_run_that_was_stopped_ends_as_cancelled():
    frames = told([STARTED, TextDelta("Ha"), RunCancelled("m", "Ha")])
    assert frames[-1] == {"type": "RUN_FINISHED", **IDS, "outcome": {"type": "cancelled"}}


def test_what_it_took_is_told_only_where_all_of_it_was():
    assert "usage" not in told([TextDelta("on"), Usage(3, 4, None), DONE])[-1]
    unnamed = told([STARTED, Usage(3, 4, None), RunCompleted("m", "")])[-1]
    assert unnamed["usage"] == [{"inputTokens": 3, "outputTokens": 4}]


@pytest.mark.parametrize(
    ("event", "value"),
    [
        (Status("thinking"), {"label": "thinking"}),
        (ProviderChanged("groq", "llama", "groq answers instead"), {"label": "groq answers instead"}),
        (Compacted(9, "openai", "gpt"), {"label": "9 older messages are summarised; all of them stay in the session"}),
    ],
)
def test_a_word_for_people_is_an_event_of_ours(event, value):
    assert told([event]) == [{"type": "CUSTOM", "name": "countersign.status", "value": value}]


def test_a_decision_is_an_event_of_ours():
    changed = Edited("Bo", {"service": "api"})
    [frame] = told([ApprovalDecided("ap-1", "approve", "Maya", "", ["Bo", "Maya"], changed)])
    decided = {"approvalId": "ap-1", "decision": "approve", "by": "Maya", "reason": "", "deciders": ["Bo", "Maya"]}
    decided["edited"] = {"by": "Bo", "arguments": {"service": "api"}}
    assert frame == {"type": "CUSTOM", "name": "countersign.approval_decided", "value": decided}


@pytest.mark.parametrize(
    "event",
    [TeamBegan("auto", []), MemberEnded("1", "One", "member", "p1", None), MemoriesRecalled(["1"]),
     MessageCompleted("m", "2026-01-01T00:00:00Z")],
)  # fmt: skip
def test_about_some_events_the_protocol_is_silent(event):
    assert told([event]) == []
