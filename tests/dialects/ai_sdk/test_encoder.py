"""The AI SDK's chunks: of the contract's list alone, in the order in which its clients take them."""

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
from chat.dialects.ai_sdk.encoder import DONE, Encoder

ABOUT = {"runId": "r", "sessionId": "s", "companion": "devops", "provider": "p", "model": "m"}
STARTED = RunStarted("s", "devops", "p", "m")
PROPOSED = ToolProposed("c1", "service_restart", {"service": "web"})
ASKED = ApprovalRequested("a1", "c1", "service_restart", "write", "2026-01-01T00:00:00Z")
GAVE = ToolFinished("c1", "service_restart", True, "restarted")
REFUSED = ToolFinished("c1", "service_restart", False, "refused: No.")
COMPLETED = RunCompleted("answer", "Hello", "p", "m")
HERA = Speaker("1", "Hera", "member", "0")
ZEUS = Speaker("2", "Zeus", "member", "1")
DECIDED = ApprovalDecided("a1", "approve", "Ann")
FIELDS = {
    "start": {"messageId"},
    "start-step": set(),
    "text-start": {"id"},
    "text-delta": {"id", "delta"},
    "text-end": {"id"},
    "reasoning-start": {"id"},
    "reasoning-delta": {"id", "delta"},
    "reasoning-end": {"id"},
    "tool-input-start": {"toolCallId", "toolName"},
    "tool-input-available": {"toolCallId", "toolName", "input"},
    "tool-output-available": {"toolCallId", "output"},
    "tool-output-error": {"toolCallId", "errorText"},
    "tool-output-denied": {"toolCallId"},
    "tool-approval-request": {"approvalId", "toolCallId"},
    "finish-step": set(),
    "finish": {"finishReason"},
    "abort": set(),
    "error": {"errorText"},
}
OF_5 = FIELDS.keys() - {"tool-output-denied", "tool-approval-request"}
EVERY = [
    STARTED,
    MemoriesRecalled(["m1"]),
    Compacted(3, "p", "m"),
    ProviderChanged("q", "n", "p is away"),
    ReasoningDelta("Hm"),
    TextDelta("Hello"),
    PROPOSED,
    ASKED,
    ApprovalDecided("a1", "reject", "Ann", "No."),
    ToolStarted("c1", "service_restart"),
    REFUSED,
    TeamBegan("panel", [{"agent_id": "1", "agent_name": "Hera"}]),
    TextDelta("I say", HERA),
    ReasoningDelta("I think", ZEUS),
    MemberEnded("1", "Hera", "member", "0", None, "gone"),
    Status("a word"),
    Usage(1, 2, None),
    MessageCompleted("answer", "2026-01-01T00:00:00Z"),
    COMPLETED,
]


def encoder(sdk: int = 6, **more) -> Encoder:
    return Encoder(sdk=sdk, run=ABOUT, **more)


def read(frames: bytes) -> list[dict]:
    """The chunks of frames, each of one line."""
    text = frames.decode()
    assert not text or text.endswith("\n\n")
    found = text.split("\n\n")[:-1]
    assert all(one.startswith("data: ") and "\n" not in one for one in found)
    return [json.loads(one.removeprefix("data: ")) for one in found if one != "data: [DONE]"]


def told(*events: Event, encode: Encoder | None = None) -> list[dict]:
    encode = encode or encoder()
    return [chunk for seq, event in enumerate(events, 1) for chunk in read(encode.sse(seq, event))]


def kinds(chunks: Iterable[dict]) -> list[str]:
    return [chunk["type"] for chunk in chunks]


def plain(chunks: Iterable[dict]) -> list[str]:
    """The kinds without parts of our own."""
    return [kind for kind in kinds(chunks) if not kind.startswith("data-")]


@pytest.mark.parametrize("sdk", [5, 6, 7])
@pytest.mark.parametrize("last", [COMPLETED, RunFailed("code", "Why", True), RunCancelled("m", "Hello"),
                                  RunWaiting(["a1"], ""), RunRestarted(2, "worker_lost")])  # fmt: skip
def test_nothing_goes_out_but_types_and_fields_of_the_list(sdk, last):
    encode = encoder(sdk)
    chunks = [*read(encode.start()), *told(*EVERY[:-1], last, encode=encode)]
    for chunk in chunks:
        names = chunk.keys() - {"type"}
        if chunk["type"].startswith("data-"):
            assert names <= {"id", "data", "transient"}
        else:
            assert names == (set() if sdk == 5 and chunk["type"] == "finish" else FIELDS[chunk["type"]])
            assert sdk > 5 or chunk["type"] in OF_5
        assert None not in chunk.values()


def test_parts_are_opened_before_their_deltas_and_closed_before_the_end():
    chunks = told(*EVERY)
    open_: set[str] = set()
    step = False
    for chunk in chunks:
        kind, _, what = chunk["type"].partition("-")
        if chunk["type"] in ("start-step", "finish-step"):
            assert step is (chunk["type"] == "finish-step")
            assert not open_
            step = not step
        elif kind in ("text", "reasoning"):
            assert step
            assert (chunk["id"] in open_) is (what != "start")
            open_ = open_ | {chunk["id"]} if what == "start" else open_
            open_ = open_ - {chunk["id"]} if what == "end" else open_
    assert not step
    assert chunks[-1] == {"type": "finish", "finishReason": "stop"}


def test_the_fast_path_of_text_says_what_the_slow_one_says():
    encode = encoder()
    chunks = told(TextDelta("a"), TextDelta('"é\u2028\n'), TextDelta("c"), encode=encode)
    assert plain(chunks) == ["start-step", "text-start", *["text-delta"] * 3]
    assert "".join(chunk["delta"] for chunk in chunks if "delta" in chunk) == 'a"é\u2028\nc'
    assert len({chunk["id"] for chunk in chunks if "id" in chunk}) == 1


def test_the_stream_is_done_after_its_last_chunk_and_then_silent():
    encode = encoder()
    assert encode.sse(1, TextDelta("Hello")).count(DONE) == 0
    assert encode.sse(2, COMPLETED).endswith(DONE)
    assert (encode.over, encode.sse(3, TextDelta("more")), encode.sse(4, COMPLETED)) == (True, b"", b"")


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ([COMPLETED], "stop"),
        ([Status("cut", "length"), COMPLETED], "length"),
        ([Status("cut", "filtered"), COMPLETED], "content-filter"),
        ([RunWaiting([], "", calls=[{"call_id": "c1"}])], "tool-calls"),
        ([RunWaiting(["a1"], "")], "tool-calls"),
    ],
)
def test_the_reason_of_the_end(last, reason):
    assert told(TextDelta("Hello"), *last)[-1] == {"type": "finish", "finishReason": reason}


def test_what_a_stop_a_failure_and_a_restart_end_with():
    assert plain(told(TextDelta("He"), RunCancelled("m", "He")))[-2:] == ["finish-step", "abort"]
    failed = told(TextDelta("He"), RunFailed("stalled", "Nothing came.", True))
    assert failed[-1] == {"type": "error", "errorText": "Nothing came."}
    assert failed[-2]["data"] == {"code": "stalled", "message": "Nothing came.", "retryable": True}
    again = told(TextDelta("He"), RunRestarted(2, "worker_lost"), TextDelta("Hello"))
    assert again[-1]["type"] == "error"
    assert again[-2]["data"]["retryable"] is True
    assert plain(told(STARTED, RunRestarted(2, "worker_lost"), TextDelta("Hello")))[-1] == "text-delta"


def test_what_comes_after_results_is_a_step_of_its_own_even_where_nothing_comes():
    chunks = told(TextDelta("I look"), PROPOSED, GAVE, TextDelta("Done"), COMPLETED)
    assert plain(chunks) == [
        "start-step", "text-start", "text-delta", "text-end", "tool-input-start", "tool-input-available",
        "tool-output-available", "finish-step", "start-step", "text-start", "text-delta", "text-end", "finish-step",
        "finish",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "before", [[PROPOSED, GAVE], [PROPOSED, ASKED, ApprovalDecided("a1", "approve", "Ann")], [GAVE]]
)
@pytest.mark.parametrize("last", [COMPLETED, RunCancelled(None, ""), RunWaiting([], "")])
def test_the_last_step_has_no_calls_where_nothing_is_asked_of_the_client_any_more(before, last):
    ends = plain(told(*before, last, encode=encoder(calls=[] if PROPOSED in before else ["c1"])))
    assert ends[-3:-1] == ["start-step", "finish-step"], "or it would send back what it has, again and again"


@pytest.mark.parametrize("last", [RunWaiting(["a1"], ""), RunWaiting([], "", calls=[{"call_id": "c1"}])])
def test_the_last_step_has_the_calls_of_which_something_is_asked(last):
    assert plain(told(PROPOSED, last)) == [
        "start-step", "tool-input-start", "tool-input-available", "finish-step", "finish"
    ]  # fmt: skip


@pytest.mark.parametrize(("sdk", "kind"), [(5, "tool-output-error"), (6, "tool-output-denied")])
def test_a_rejected_call_is_denied_where_clients_know_of_that(sdk, kind):
    decided = ApprovalDecided("a1", "reject", "Ann", "No.")
    chunks = told(PROPOSED, ASKED, decided, REFUSED, encode=encoder(sdk))
    assert ("tool-approval-request" in kinds(chunks)) is (sdk > 5)
    assert chunks[-1]["type"] == kind
    told_of = [chunk["data"]["status"] for chunk in chunks if chunk["type"] == "data-approval"]
    assert told_of == ["pending", "reject"]
    assert {chunk["id"] for chunk in chunks if chunk["type"] == "data-approval"} == {"a1"}


def test_a_decision_says_who_changed_what():
    changed = ApprovalDecided("a1", "approve", "Ann", "", ["Bo", "Ann"], Edited("Bo", {"service": "api"}))
    last = [chunk for chunk in told(PROPOSED, ASKED, changed) if chunk["type"] == "data-approval"][-1]["data"]
    assert (last["by"], last["deciders"]) == ("Ann", ["Bo", "Ann"])
    assert last["edited"] == {"by": "Bo", "arguments": {"service": "api"}}


def test_what_policy_refused_is_an_error_and_not_a_persons_denial():
    assert told(PROPOSED, REFUSED)[-1] == {"type": "tool-output-error", "toolCallId": "c1", "errorText": "refused: No."}


def test_no_chunk_is_about_a_call_that_the_reader_lacks():
    assert told(GAVE) == []
    assert plain(told(ASKED)) == ["start-step", "tool-input-start", "tool-approval-request"]
    assert plain(told(ASKED, GAVE, encode=encoder(calls=["c1"]))) == ["tool-approval-request", "tool-output-available"]


def test_what_the_client_brought_is_told_again_as_it_brought_it():
    encode = encoder(calls=["c1"], outputs={"c1": {"city": "Berlin"}})
    assert told(GAVE, encode=encode) == [
        {"type": "tool-output-available", "toolCallId": "c1", "output": {"city": "Berlin"}}
    ]


def test_a_snapshot_tells_what_the_reader_lacks_or_ends_the_stream():
    assert told(Snapshot(1, "Hello", "Hm"))[-1]["delta"] == "Hello"
    [*_, before, more] = told(TextDelta("Hel"), Snapshot(1, "Hello"))
    assert more == {**before, "delta": "lo"}, "in the same part"
    assert told(Snapshot(1, "Hello"), encode=encoder(said="Hel"))[-1]["delta"] == "lo"
    assert told(TextDelta("Hello"), Snapshot(1, "Hello")) == told(TextDelta("Hello"))
    assert told(TextDelta("Hallo"), Snapshot(1, "Hello"))[-1]["type"] == "error"


def test_speakers_of_a_team_have_parts_of_their_own_that_go_on_side_by_side():
    chunks = told(TextDelta("a", HERA), TextDelta("x", ZEUS), TextDelta("b", HERA), COMPLETED)
    said: dict[str, str] = {}
    for chunk in chunks:
        if chunk["type"] == "text-delta":
            said[chunk["id"]] = said.get(chunk["id"], "") + chunk["delta"]
    names = {chunk["id"]: chunk["data"]["agentName"] for chunk in chunks if chunk["type"] == "data-speaker"}
    assert {names[part]: text for part, text in said.items()} == {"Hera": "ab", "Zeus": "x"}


def test_the_end_says_up_to_where_the_client_has_read():
    [*_, about, _] = told(TextDelta("Hello"), RunWaiting(["a1"], "Hello"))
    assert (about["type"], about["id"]) == ("data-run", "r")
    assert about["data"] == {**ABOUT, "status": "awaiting_approval", "approvals": ["a1"], "cursor": 2}


def test_who_may_not_decide_is_shown_the_request_again():
    encode = encoder(calls=["c1"])
    asks, about = read(encode.pending(ASKED, "requester"))
    assert asks == {"type": "tool-approval-request", "approvalId": "a1", "toolCallId": "c1"}
    assert (about["data"]["status"], about["data"]["refused"]) == ("pending", "requester")
    assert kinds(read(encoder(5, calls=["c1"]).pending(ASKED, "requester"))) == ["data-approval"]
