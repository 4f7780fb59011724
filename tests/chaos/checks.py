"""The promises of docs/reliability.md as questions to the evidence of a campaign. Each gives what speaks against it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby

from tests.chaos.evidence import Action, Evidence
from tests.chaos.rebuilt import Rebuilt
from tests.servers.sink import MAYBE_DONE

KEYED = ("keyed", "idempotent")
FINAL = ("succeeded", "failed", "unknown", "refused")
DONE = ("approved", "rejected")

Check = Callable[[Evidence], Iterator[str]]


def _twice(evidence: Evidence, mode: str) -> Iterator[str]:
    for key, effects in evidence.effects.items():
        if len(effects) > 1 and effects[0].mode == mode:
            yield f"action {key} had {len(effects)} effects"


def keyed_once(evidence: Evidence) -> Iterator[str]:
    """No key has two effects where keys are honoured."""
    return _twice(evidence, "keyed")


def unkeyed_once(evidence: Evidence) -> Iterator[str]:
    """No action has two effects where each call has one."""
    return _twice(evidence, "unkeyed")


def nothing_lost(evidence: Evidence) -> Iterator[str]:
    """What was approved comes to an end that is known, or known to be unknown, or refused with a reason."""
    for approval in evidence.approvals.values():
        action = evidence.actions[approval.action_id]
        if approval.status == "approved" and approval.id == action.approval_id:
            ended = action.state in FINAL and (action.state != "refused" or bool(action.code))
            if not ended:
                yield f"action {action.id} was approved and is {action.state}"
        elif approval.status == "pending":
            yield f"approval {approval.id} is still pending"
    for action in evidence.actions.values():
        if action.state not in FINAL:
            yield f"action {action.id} is still {action.state}"


def done_means_done(evidence: Evidence) -> Iterator[str]:
    """What succeeded has its effect; what a person answered in its place has none."""
    for action in _acting(evidence):
        if action.state == "succeeded" and (evidence.had(action) > 0) == (action.code == "responded"):
            yield f"action {action.id} ({action.code or 'succeeded'}) had {evidence.had(action)} effects"


def refused_means_undone(evidence: Evidence) -> Iterator[str]:
    """What was refused, rejected, withdrawn, overtaken by time, or failed has no effect."""
    for action in _acting(evidence):
        undone = action.state in ("refused", "failed") and action.code != "abandoned"
        if undone and evidence.had(action):
            yield f"action {action.id} is {action.state} ({action.code}) and had {evidence.had(action)} effects"
    for approval in evidence.approvals.values():
        action = evidence.actions[approval.action_id]
        if approval.status in ("rejected", "expired", "cancelled") and evidence.had(action):
            yield f"approval {approval.id} was {approval.status}, and its action had an effect"


def only_what_was_approved(evidence: Evidence) -> Iterator[str]:
    """Each effect is of an action, after the last verdict of its step, with the arguments that were approved."""
    decided: dict[tuple[str, int], float] = defaultdict(float)
    for approval in evidence.approvals.values():
        action = evidence.actions[approval.action_id]
        decided[action.run_id, action.step] = max(decided[action.run_id, action.step], approval.decided_at or 0.0)
    for key, effects in evidence.effects.items():
        action = evidence.actions.get(key)
        if action is None:
            yield f"an effect has the key {key!r}, which is no action's"
            continue
        if effects[0].at < decided[action.run_id, action.step]:
            yield f"action {key} had its effect before the last verdict of its step"
        approved = evidence.approvals.get(action.approval_id or "")
        wanted = approved.arguments if approved else action.arguments
        if any(effect.arguments != wanted for effect in effects):
            yield f"action {key} had an effect with other arguments than {wanted}"


def unknown_is_explained(evidence: Evidence) -> Iterator[str]:
    """An outcome is lost only where a fault caught the action executing, or the sink broke the call off."""
    broken = {line.key for line in evidence.sunk if line.what in MAYBE_DONE}
    for event in evidence.audit:
        code = event.data.get("code", "")
        if event.type not in ("action.unknown", "action.retried") or code == "not_sent":
            continue
        if event.target not in (broken if code == "maybe_sent" else evidence.in_flight | broken):
            yield f"action {event.target}: {event.type} ({code}), though nothing had caught it"


def one_verdict(evidence: Evidence) -> Iterator[str]:
    """Each request has one end in the log, and who was told of a verdict was told of that one, and alone."""
    ends = Counter(
        event.target
        for event in evidence.audit
        if event.type.partition(".")[2] in ("approved", "rejected", "expired", "cancelled", "superseded")
        and event.target in evidence.approvals
    )
    for approval_id, count in ends.items():
        if count > 1:
            yield f"approval {approval_id} ended {count} times"
    deciders: dict[str, set[str]] = defaultdict(set)
    for line in evidence.said("decide", "ok"):
        approval = evidence.approvals[line["approval"]]
        if line["status"] in DONE:
            deciders[approval.id].add(line["who"])
            if (line["status"], line["decision"]) != (approval.status, approval.decision):
                yield f"approval {approval.id} is {approval.status}; {line['who']} was told {line['status']}"
    for approval_id, told in deciders.items():
        if len(told) > 1:
            yield f"approval {approval_id} was decided by {' and by '.join(sorted(told))}"


def never_the_requester(evidence: Evidence) -> Iterator[str]:
    """No vote is the requester's, and what was approved has as many votes for it as it needs."""
    votes: dict[str, set[str]] = defaultdict(set)
    for vote in evidence.votes:
        if vote.user_id == evidence.approvals[vote.approval_id].requested_by:
            yield f"approval {vote.approval_id} has a vote of its requester"
        if not vote.void and vote.decision != "reject":
            votes[vote.approval_id].add(vote.user_id)
    for approval in evidence.approvals.values():
        if approval.decided_by and approval.decided_by == approval.requested_by:
            yield f"approval {approval.id} was decided by its requester"
        if approval.status == "approved" and len(votes[approval.id]) < approval.quorum:
            yield f"approval {approval.id} needs {approval.quorum} votes and has {len(votes[approval.id])}"
    for line in evidence.said("meddle", "ok"):
        yield f"{line['who']} approved {line['approval']}, which they had asked for"


def log_tells_the_states(evidence: Evidence) -> Iterator[str]:
    """The log alone gives every state, digest and attempt, by steps that the state machines allow."""
    rebuilt = Rebuilt(evidence.audit)
    yield from rebuilt.wrong
    stored = {row.id: row.state for row in evidence.actions.values()}
    stored |= {row.id: row.status for row in evidence.approvals.values()}
    stored |= {run.id: "started" if run.state in ("queued", "running") else run.state for run in evidence.runs.values()}
    for target in stored.keys() | rebuilt.states.keys():
        if stored.get(target) != rebuilt.states.get(target):
            yield f"{target} is {stored.get(target)}, and the log says {rebuilt.states.get(target)}"
    for action in evidence.actions.values():
        if (told := rebuilt.attempts.get(action.id, 0)) != action.attempt:
            yield f"action {action.id} was begun {action.attempt} times, and the log says {told}"
    for row in (*evidence.actions.values(), *evidence.approvals.values()):
        if row.digest != rebuilt.digests.get(row.id, ""):
            yield f"{row.id} has another digest than the log says"


def chain_holds(evidence: Evidence) -> Iterator[str]:
    """Every event of the log has its place in the chain, and the chain is whole."""
    yield from evidence.chain


def one_result_a_call(evidence: Evidence) -> Iterator[str]:
    """An answer has one result for each call, in the model's order, and ends."""
    for run in evidence.runs.values():
        if run.state not in ("completed", "failed", "cancelled"):
            unknown = any(one.run_id == run.id and one.state == "unknown" for one in evidence.actions.values())
            if not (run.state == "waiting_approval" and unknown):
                yield f"run {run.id} is still {run.state}"
        calls = [part["call_id"] for part in run.parts if part["type"] == "tool_call"]
        results = [part["call_id"] for part in run.parts if part["type"] == "tool_result"]
        whole = results == calls if run.state == "completed" else results == calls[: len(results)]
        if not whole or len(set(calls)) != len(calls):
            yield f"run {run.id} ({run.state}) has the calls {calls} and the results {results}"


def streams_are_exact(evidence: Evidence) -> Iterator[str]:
    """A reader who came back as often as need be had each event once, in order, and ends with the stored answer."""
    for line in evidence.said("read", "ok"):
        ids = [int(number) for number, _, _ in line["frames"] if number is not None]
        numbered = [tuple(frame) for frame in line["frames"] if frame[0] is not None]
        run = evidence.runs[line["run"]]
        if ids != sorted(ids):
            yield f"a reader of run {run.id} had the events {ids}"
        if len(set(numbered)) != len(numbered):
            yield f"a reader of run {run.id} had an event twice"
        for again, frames in groupby(_since_restarts(line["frames"]), key=lambda frame: frame[0]):
            results = [call for _, name, call in frames if name == "tool_result"]
            if len(set(results)) != len(results):
                yield f"a reader of run {run.id} had a result twice after {again} restarts"
        if line["text"] != line["response"] or (run.text is not None and line["text"] != run.text):
            yield f"a reader of run {run.id} has another text than is stored"


def _since_restarts(frames: list[list[str | None]]) -> Iterator[tuple[int, str | None, str | None]]:
    restarts = 0
    for _, name, call in frames:
        restarts += name == "restart"
        yield restarts, name, call


def outbox_agrees(evidence: Evidence) -> Iterator[str]:
    """Each end of a request and of an action is told outside by one row; one that is settled has arrived."""
    told = Counter((row.type, row.subject) for row in evidence.announced)
    for approval in evidence.approvals.values():
        name = "approval.expired" if approval.status == "expired" else "approval.decided"
        if approval.status != "pending" and told[name, approval.id] != 1:
            yield f"of approval {approval.id} the outbox has {told[name, approval.id]} rows {name}"
    for action in evidence.actions.values():
        if action.state in ("succeeded", "failed") and not told["action.finished", action.id]:
            yield f"of action {action.id} the outbox has nothing"
    arrived = {line.key for line in evidence.sunk if line.what == "hook"}
    for row in evidence.announced:
        if row.delivered and row.id not in arrived:
            yield f"the webhook {row.id} ({row.type}) counts as delivered and never came"


def nothing_broke(evidence: Evidence) -> Iterator[str]:
    """No request was answered with 500, and no client came upon what it could not understand."""
    for line in evidence.history:
        if line.get("code") == 500:
            yield f"{line['who']} was answered 500 at {line['f']}: {line.get('detail', '')}"
        elif line["type"] == "stumble":
            yield f"{line['who']} stumbled: {line['detail']}"


def _acting(evidence: Evidence) -> list[Action]:
    """The actions whose effects the sink counts."""
    return [action for action in evidence.actions.values() if action.tool in ("chaos_keyed", "chaos_unkeyed")]


CHECKS: dict[str, Check] = {
    "keyed tools: effects twice": keyed_once,
    "unkeyed tools: effects twice": unkeyed_once,
    "lost: approved, and without an end": nothing_lost,
    "succeeded without an effect": done_means_done,
    "rejected, expired, cancelled, refused or failed with an effect": refused_means_undone,
    "effects before the verdict, or of something else than approved": only_what_was_approved,
    "outcomes unknown though no fault caught the action executing": unknown_is_explained,
    "requests with more than one end, or told otherwise": one_verdict,
    "votes of the requester, or too few votes": never_the_requester,
    "states that the audit log tells otherwise": log_tells_the_states,
    "faults in the audit log's chain": chain_holds,
    "calls without exactly one result, runs without an end": one_result_a_call,
    "streams with an event doubled, missing or out of order": streams_are_exact,
    "changes that the outbox does not tell, or twice": outbox_agrees,
    "requests answered with 500, or in a way that cannot be": nothing_broke,
}
