"""The states of actions, approvals and runs as the audit log alone tells them, and the steps that it may tell."""

from collections.abc import Iterable

from tests.chaos.evidence import Told

NEW = ""
# The event, the states in which it may come, and the state that it leads to.
STEPS = {
    "action.allowed": ({NEW, "waiting"}, "allowed"),
    "action.waiting": ({NEW}, "waiting"),
    "action.refused": ({NEW, "allowed", "waiting", "ready"}, "refused"),
    "action.observed": ({NEW}, "refused"),
    "action.ready": ({"allowed"}, "ready"),
    "action.started": ({"ready"}, "executing"),
    "action.retried": ({"executing"}, "ready"),
    "action.unknown": ({"executing", "ready"}, "unknown"),
    "action.succeeded": ({"executing", "waiting"}, "succeeded"),
    "action.failed": ({"executing"}, "failed"),
    "action.resolved": ({"unknown"}, ""),
    "approval.requested": ({NEW}, "pending"),
    "approval.approved": ({"pending"}, "approved"),
    "approval.rejected": ({"pending"}, "rejected"),
    "approval.expired": ({"pending"}, "expired"),
    "approval.cancelled": ({"pending"}, "cancelled"),
    "approval.superseded": ({"pending"}, "superseded"),
    "run.started": ({NEW}, "started"),
    "run.waiting": ({"started"}, "waiting_approval"),
    "run.resumed": ({"waiting_approval"}, "started"),
    "run.completed": ({"started"}, "completed"),
    "run.failed": ({"started"}, "failed"),
    "run.cancelled": ({"started", "waiting_approval"}, "cancelled"),
}
RESOLVED = {"done": "succeeded", "not_done": "ready", "abandoned": "failed"}
SILENT = {
    "run.cancel_requested",
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
        self.digests[event.target] = event.data.get("digest") or self.digests.get(event.target, "")
        if event.type in SILENT:
            return
        before = self.states.get(event.target, NEW)
        within, after = STEPS[event.type]
        if before not in within:
            self.wrong.append(f"{event.target}: {event.type} while it was {before or 'not there'}")
        if event.type == "action.started":
            self._begun(event)
        self.states[event.target] = after or RESOLVED[event.data["resolution"]]

    def _begun(self, event: Told) -> None:
        attempt = self.attempts.get(event.target, 0) + 1
        if event.data["attempt"] != attempt:
            self.wrong.append(f"{event.target}: attempt {event.data['attempt']} begins where {attempt} would")
        self.attempts[event.target] = attempt
