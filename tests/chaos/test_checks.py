"""Each check of the harness, with evidence that keeps the promise and with evidence that breaks it."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import report
from tests.chaos.checks import CHECKS
from tests.chaos.evidence import Action, Announced, Approval, Evidence, Run, Sunk, Told, Vote
from tests.chaos.workload import MOST_AT_ONCE, TOOLS, Workload

DIGEST = "d" * 64
ASKED = {"n": 1, "how": "ask"}
PARTS = [
    {"type": "tool_call", "call_id": "call_1_1"},
    {"type": "tool_result", "call_id": "call_1_1"},
    {"type": "text", "text": "done"},
]
FRAMES = [["2", "approval_required", "call_1_1"], ["4", "tool_result", "call_1_1"], ["6", "done", ""]]


def told(type: str, target: str, **data: Any) -> Told:
    return Told(type, target, None, {"digest": DIGEST, **data})


@pytest.fixture
def kept() -> Evidence:
    """An approved call that ran once: nothing speaks against any promise."""
    action = Action(
        id="action", run_id="run", step=1, place=1, call_id="call_1_1", tool="chaos_unkeyed", retry="unknown",
        state="succeeded", code="", attempt=1, arguments=ASKED, digest=DIGEST, approval_id="approval", resolution="",
    )  # fmt: skip
    approval = Approval(
        id="approval", action_id="action", run_id="run", status="approved", decision="approve", decided_at=100.0,
        decided_by="manager", requested_by="member", arguments=ASKED, digest=DIGEST, quorum=1,
    )  # fmt: skip
    return Evidence(
        actions={"action": action},
        approvals={"approval": approval},
        votes=[Vote("approval", "manager", "approve", void=False)],
        runs={"run": Run("run", "completed", 2, "", "done", PARTS)},
        audit=[
            Told("run.started", "run", None, {}),
            told("action.waiting", "action"),
            told("approval.requested", "approval"),
            Told("run.waiting", "run", None, {}),
            told("approval.approved", "approval", after="approved"),
            told("action.allowed", "action"),
            told("action.ready", "action"),
            Told("run.resumed", "run", None, {}),
            told("action.started", "action", attempt=1),
            told("action.succeeded", "action", attempt=1),
            Told("run.completed", "run", None, {}),
        ],
        sunk=[
            Sunk(100.5, "effect", "unkeyed", "action", ASKED),
            Sunk(101.0, "hook", "hook", "row 1", "approval.decided"),
            Sunk(101.0, "hook", "hook", "row 2", "action.finished"),
        ],
        history=[
            {"who": "manager", "type": "ok", "f": "decide", "approval": "approval", "status": "approved",
             "decision": "approve"},
            {"who": "manager2", "type": "fail", "f": "decide", "approval": "approval", "code": 409},
            {"who": "member", "type": "fail", "f": "meddle", "approval": "approval", "code": 403},
            {"who": "member", "type": "ok", "f": "read", "run": "run", "frames": FRAMES, "text": "done",
             "response": "done"},
        ],
        announced=[
            Announced("row 1", "approval.decided", "approval", delivered=True),
            Announced("row 2", "action.finished", "action", delivered=True),
        ],
    )  # fmt: skip


def act(evidence: Evidence, **changes: Any) -> None:
    evidence.actions["action"] = replace(evidence.actions["action"], **changes)


def ask(evidence: Evidence, **changes: Any) -> None:
    evidence.approvals["approval"] = replace(evidence.approvals["approval"], **changes)


def effect(evidence: Evidence, **changes: Any) -> None:
    evidence.sunk.append(replace(evidence.sunk[0], **changes))


def read(evidence: Evidence, **changes: Any) -> None:
    evidence.history[-1] = evidence.history[-1] | changes


def decide(evidence: Evidence, **changes: Any) -> None:
    evidence.history.append(evidence.history[0] | changes)


def in_the_log(evidence: Evidence, *events: Told) -> None:
    evidence.audit.extend(events)


BROKEN = [
    ("unkeyed tools", lambda e: effect(e)),
    ("keyed tools", lambda e: (effect(e, mode="keyed", key="k"), effect(e, mode="keyed", key="k"))),
    ("lost", lambda e: act(e, state="ready")),
    ("lost", lambda e: act(e, state="executing")),
    ("lost", lambda e: act(e, state="refused", code="")),
    ("lost", lambda e: ask(e, status="pending")),
    ("succeeded without", lambda e: e.sunk.clear()),
    ("succeeded without", lambda e: act(e, code="responded")),
    ("rejected, expired", lambda e: act(e, state="refused", code="rejected")),
    ("rejected, expired", lambda e: act(e, state="failed", code="tool_failed")),
    ("rejected, expired", lambda e: ask(e, status="expired")),
    ("effects before", lambda e: ask(e, decided_at=100.6)),
    ("effects before", lambda e: ask(e, arguments={"n": 2, "how": "ask"})),
    ("effects before", lambda e: effect(e, key="nobody's")),
    ("outcomes unknown", lambda e: in_the_log(e, told("action.unknown", "action", code="worker_lost"))),
    ("outcomes unknown", lambda e: in_the_log(e, told("action.retried", "action", code="maybe_sent"))),
    ("requests with more", lambda e: in_the_log(e, told("approval.expired", "approval"))),
    ("requests with more", lambda e: ask(e, status="rejected", decision="reject")),
    ("requests with more", lambda e: decide(e, who="manager2")),
    ("requests with more", lambda e: decide(e, status="rejected", decision="reject")),
    ("votes of", lambda e: ask(e, requested_by="manager")),
    ("votes of", lambda e: ask(e, quorum=2)),
    ("votes of", lambda e: e.votes.append(Vote("approval", "member", "approve", void=True))),
    ("votes of", lambda e: e.history.append({"who": "member", "type": "ok", "f": "meddle", "approval": "approval"})),
    ("states that", lambda e: act(e, attempt=2)),
    ("states that", lambda e: act(e, digest="e" * 64)),
    ("states that", lambda e: e.audit.pop()),
    ("states that", lambda e: e.audit.pop(3)),
    ("states that", lambda e: in_the_log(e, told("action.started", "action", attempt=2))),
    ("states that", lambda e: in_the_log(e, told("approval.requested", "another"))),
    ("faults in", lambda e: e.chain.append("BAD")),
    ("calls without", lambda e: e.runs.update(run=Run("run", "completed", 1, "", "done", PARTS[:1]))),
    ("calls without", lambda e: e.runs.update(run=Run("run", "completed", 1, "", "done", [*PARTS, PARTS[1]]))),
    ("calls without", lambda e: e.runs.update(run=Run("run", "waiting_approval", 1, "", None, []))),
    ("streams", lambda e: read(e, frames=[FRAMES[1], FRAMES[0]])),
    ("streams", lambda e: read(e, frames=[*FRAMES[:2], FRAMES[1]])),
    ("streams", lambda e: read(e, frames=[*FRAMES[:2], ["5", "tool_result", "call_1_1"], FRAMES[2]])),
    ("streams", lambda e: read(e, text="don")),
    ("streams", lambda e: read(e, text="more", response="more")),
    ("changes that", lambda e: e.announced.pop()),
    ("changes that", lambda e: e.announced.append(replace(e.announced[0], id="row 3", delivered=False))),
    ("changes that", lambda e: e.sunk.pop()),
    ("requests answered", lambda e: e.history.append({"who": "member", "type": "info", "f": "look", "code": 500})),
    ("requests answered", lambda e: e.history.append({"who": "me", "type": "stumble", "f": "live", "detail": "?"})),
]


def test_nothing_speaks_against_what_went_well(kept):
    assert report.findings(kept) == {sentence: [] for sentence in CHECKS}
    assert report.examples(report.findings(kept)) == ""


@pytest.mark.parametrize(("promise", "breaks"), BROKEN)
def test_a_broken_promise_is_found(kept, promise, breaks):
    breaks(kept)
    [sentence] = [sentence for sentence in CHECKS if sentence.startswith(promise)]
    found = report.findings(kept)
    assert found[sentence]
    assert sentence in report.examples(found)


def test_every_check_has_been_seen_to_fail():
    promises = {promise for promise, _ in BROKEN}
    assert all(any(sentence.startswith(promise) for promise in promises) for sentence in CHECKS)


def test_an_outcome_that_a_fault_explains_speaks_against_nothing(kept):
    kept.audit[-2:-2] = [
        told("action.unknown", "action", code="worker_lost"),
        told("action.resolved", "action", resolution="not_done"),
        told("action.started", "action", attempt=2),
    ]
    act(kept, attempt=2)
    kept.in_flight.add("action")
    assert not any(report.findings(kept).values())


def test_a_report_goes_into_its_place_on_the_page(tmp_path, kept):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(report.text(kept, report.findings(kept), {"worker killed": 2}, "head"), page)
    text = page.read_text()
    assert "\nold\n" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| worker killed | 2 |" in text


def test_the_work_follows_from_the_seed_and_stops_where_it_is_granted():
    def calls(seed: str) -> list[str]:
        workload = Workload(seed, 50)
        workload.grant(50)
        taken = []
        while found := workload.take(alone=False):
            assert len(found) <= MOST_AT_ONCE
            taken += [call.directive for call in found]
        return taken

    assert calls("a") == calls("a") != calls("b")
    assert len(calls("a")) == 50
    assert {call.split()[0].removeprefix("call=") for call in calls("a")} == set(TOOLS)
    assert all(any(f'"{how}"' in call for call in calls("a")) for how in ("ask", "free", "two"))
