"""The states of actions, approvals and runs as the audit log alone tells them, and the steps that it may tell."""

from collections.abc import Iterable

from tests.chaos.evidence import Told

# What each state may become. An event that changes no state stands in neither table.
STEPS = {
    "action": {
        "": {"allowed", "waiting", "refused"},
        "allowed": {"ready", "refused"},
        "waiting": {"allowed", "refused", "succeeded"},
        "ready": {"executing", "refused", "unknown"},
        "executing": {"succeeded", "failed", "unknown", "ready"},
        "unknown": {"succeeded", "failed", "ready"},
    },
    "approval": {
        "": {"pending"},
        "pending": {"approved", "rejected", "expired", "cancelled", "superseded"},
    },
    "run": {
        "": {"started"},
        "started": {"waiting_approval", "completed", "failed", "cancelled"},
        "waiting_approval": {"started", "cancelled"},
    },
}
STATES = {
    "action.observed": "refused",
    "action.started": "executing",
    "action.retried": "ready",
    "approval.requested": "pending",
    "run.waiting": "waiting_approval",
    "run.resumed": "started",
}
RESOLVED = {"done": "succeeded", "not_done": "ready", "abandoned": "failed"}
SILENT = {
    "action.late_result",
    "approval.voted",
    "approval.edited",
    "approval.escalated",
    "approval.denied_attempt",
    "approval.break_glass",
    "approval.remembered",
}


class Rebuilt:
    """What the events come to: states, digests and attempts by id, and in `wrong` the steps that may not be."""

    def __init__(self, events: Iterable[Told]) -> None:
        self.states: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.digests: dict[str, str] = {}
        self.wrong: list[str] = []
        for event in events:
            self._take(event)

    def _take(self, event: Told) -> None:
        kind = event.type.partition(".")[0]
        self.digests[event.target] = event.data.get("digest") or self.digests.get(event.target, "")
        if event.type in SILENT:
            return
        before, after = self.states.get(event.target, ""), state_of(event)
        if after not in STEPS[kind].get(before, ()):
            self.wrong.append(f"{kind} {event.target}: {event.type} after {before or 'nothing'}")
        if event.type == "action.started":
            self._begun(event)
        self.states[event.target] = after

    def _begun(self, event: Told) -> None:
        attempt = self.attempts.get(event.target, 0) + 1
        if event.data["attempt"] != attempt:
            self.wrong.append(f"action {event.target}: attempt {event.data['attempt']} begins where {attempt} would")
        self.attempts[event.target] = attempt


def state_of(event: Told) -> str:
    """The state that an event leads to."""
    if event.type == "action.resolved":
        return RESOLVED[event.data["resolution"]]
    return STATES.get(event.type, event.type.partition(".")[2])
