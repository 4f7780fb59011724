"""The native dialect's encoder, alone: events in, frames out."""

import json
from typing import get_args

import pytest

from agents import events
from chat.dialects.native.encoder import Encoder


def encoder() -> Encoder:
    return Encoder(session_id="s", run_id="r", companion="smart-home", provider="p", model="m")


def parse(sse: bytes) -> list[tuple[str, str, dict]]:
    frames = []
    for block in sse.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        frames.append((lines.get("id"), lines["event"], json.loads(lines["data"])))
    return frames


SAMPLES = {
    events.TeamBegan: ("debate", [{"agent_id": "1", "agent_name": "Ada"}]),
    events.MemberEnded: ("1", "Ada", "member", "1.member.1", "2", ""),
    events.RunStarted: ("c", "smart-home", "p", "m"),
    events.RunRestarted: (2, "worker_lost"),
    events.Snapshot: (1, "so far", "thought"),
    events.TextDelta: ("hello",),
    events.ReasoningDelta: ("hm",),
    events.ToolProposed: ("c1", "lights.on", {"room": "hall"}),
    events.ApprovalRequested: ("a1", "c1", "lights.on", "write", "2026-01-01T00:00:00Z"),
    events.ApprovalDecided: ("a1", "approve", "manager@home.example", ""),
    events.ToolStarted: ("c1", "lights.on"),
    events.ToolFinished: ("c1", "lights.on", True, "on"),
    events.Status: ("thinking",),
    events.ProviderChanged: ("groq", "llama", "p: it does not answer; groq answers with llama"),
    events.Compacted: (12, "p", "m"),
    events.MemoriesRecalled: (["e1", "e2"],),
    events.Usage: (3, 4, None),
    events.MessageCompleted: ("m1", "2026-01-01T00:00:00Z"),
    events.RunCompleted: ("m1", "hello"),
    events.RunWaiting: (["a1"], "hello"),
    events.RunFailed: ("stalled", "It fell silent.", True),
    events.RunCancelled: ("m1", "hel"),
}
NAMES = {
    events.TeamBegan: ["team"],
    events.MemberEnded: ["member"],
    events.RunStarted: [],
    events.RunRestarted: ["restart"],
    events.Snapshot: ["restart", "reasoning", "delta"],
    events.TextDelta: ["delta"],
    events.ReasoningDelta: ["reasoning"],
    events.ToolProposed: ["tool_call"],
    events.ApprovalRequested: ["approval_required"],
    events.ApprovalDecided: ["approval_decided"],
    events.ToolStarted: ["status"],
    events.ToolFinished: ["tool_result"],
    events.Status: ["status"],
    events.ProviderChanged: ["status"],
    events.Compacted: ["status"],
    events.MemoriesRecalled: ["status"],
    events.Usage: ["usage"],
    events.MessageCompleted: [],
    events.RunCompleted: ["done"],
    events.RunWaiting: ["done"],
    events.RunFailed: ["error"],
    events.RunCancelled: ["done"],
}


@pytest.mark.parametrize("kind", get_args(events.Event), ids=lambda kind: kind.__struct_config__.tag)
def test_every_event_has_its_frames(kind):
    assert [name for _, name, _ in parse(encoder().sse(7, kind(*SAMPLES[kind])))] == NAMES[kind]


def test_a_decision_names_all_who_made_it_and_what_they_changed():
    by = {"approval_id": "a1", "decision": "approve", "by": "Bo", "reason": ""}
    told = encoder().frames(events.ApprovalDecided("a1", "approve", "Bo", "", ["Ada", "Bo"]))
    assert told == [("approval_decided", {**by, "deciders": ["Ada", "Bo"]})]
    changed = events.Edited("Ada", {"service": "api"})
    told = encoder().frames(events.ApprovalDecided("a1", "approve", "Bo", "", ["Ada", "Bo"], changed))
    edited = {"by": "Ada", "arguments": {"service": "api"}}
    assert told == [("approval_decided", {**by, "deciders": ["Ada", "Bo"], "edited": edited})]


def test_a_delta_has_its_number_and_its_text():
    assert parse(encoder().sse(7, events.TextDelta("hello"))) == [("7", "delta", {"text": "hello"})]


def test_text_that_looks_like_a_frame_stays_in_its_data_line():
    text = "a\n\nevent: done\ndata: {}\r\n\u2028id: 9"
    assert parse(encoder().sse(7, events.TextDelta(text))) == [("7", "delta", {"text": text})]


def test_a_snapshot_makes_a_reader_drop_its_text_and_take_the_whole():
    assert encoder().frames(events.Snapshot(1, "all of it")) == [
        ("restart", {"attempt": 1, "reason": "snapshot"}),
        ("delta", {"text": "all of it"}),
    ]


def test_only_the_last_frame_of_an_event_has_its_number():
    """A reader cut off after `restart` has dropped its text: resuming behind the event it would never get it back."""
    frames = parse(encoder().sse(9, events.Snapshot(1, "all of it", "thought")))
    assert [number for number, _, _ in frames] == [None, None, "9"]


def test_the_end_of_a_run_is_told_as_the_contract_lists_it():
    ended = {"session_id": "s", "run_id": "r"}
    assert encoder().frames(events.RunCompleted("m1", "hello")) == [
        ("done", {"message_id": "m1", **ended, "status": "completed", "response": "hello"})
    ]
    other = encoder().frames(events.RunCompleted("m1", "hello", "groq", "llama"))[0][1]
    assert (other["provider"], other["model"]) == ("groq", "llama")
    assert encoder().frames(events.RunCancelled("m1", "hel"))[0][1]["status"] == "cancelled"
    call = {"call_id": "c1", "name": "getLocation", "arguments": {}}
    for_client = encoder().frames(events.RunWaiting(["a1"], "hello", calls=[call]))[0][1]
    assert (for_client["status"], for_client["approvals"], for_client["calls"]) == ("awaiting_tools", ["a1"], [call])
    waiting = encoder().frames(events.RunWaiting(["a1"], "hello"))[0][1]
    assert "calls" not in waiting
    assert (waiting["status"], waiting["approvals"]) == ("awaiting_approval", ["a1"])
    failed = encoder().frames(events.RunFailed("stalled", "It fell silent.", True))[0][1]
    assert (failed["code"], failed["retryable"]) == ("stalled", True)


def test_a_call_says_that_it_is_the_clients_only_where_it_is():
    server, theirs = events.ToolProposed("c1", "a", {}), events.ToolProposed("c1", "a", {}, client=True)
    told = {"call_id": "c1", "name": "a", "arguments": {}}
    assert encoder().frames(server) == [("tool_call", told)]
    assert encoder().frames(theirs) == [("tool_call", {**told, "client": True})]
