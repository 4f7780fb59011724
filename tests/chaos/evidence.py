"""What a campaign leaves behind: the tables, the log of effects, and what its clients were told. All plain values."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.servers.stack import Stack


@dataclass(frozen=True)
class Action:
    """A tool call's row."""

    id: str
    run_id: str
    step: int
    place: int
    call_id: str
    tool: str
    retry: str
    state: str
    code: str
    attempt: int
    arguments: dict[str, Any]
    digest: str
    approval_id: str | None
    resolution: str


@dataclass(frozen=True)
class Approval:
    """A request's row; times are seconds since 1970."""

    id: str
    action_id: str
    run_id: str
    status: str
    decision: str
    decided_at: float | None
    decided_by: str | None
    requested_by: str | None
    arguments: dict[str, Any]
    digest: str
    quorum: int


@dataclass(frozen=True)
class Vote:
    """A vote's row."""

    approval_id: str
    user_id: str
    decision: str
    void: bool


@dataclass(frozen=True)
class Run:
    """A run's row, with the text and the parts of its answer, None where it has none."""

    id: str
    state: str
    attempt: int
    error: str
    text: str | None
    parts: list[dict[str, Any]]


@dataclass(frozen=True)
class Told:
    """An event of the audit log with what it tells in full."""

    type: str
    target: str
    actor: str | None
    data: dict[str, Any]


@dataclass(frozen=True)
class Sunk:
    """A line of the sink's file: a call, an effect, or what went wrong on purpose."""

    at: float
    what: str
    mode: str
    key: str
    arguments: Any


@dataclass(frozen=True)
class Announced:
    """A row of the outbox for the webhook; `subject` is the approval's or the action's id."""

    id: str
    type: str
    subject: str
    delivered: bool


@dataclass
class Evidence:
    """Everything that is held against the promises; `in_flight` are the actions that a fault caught executing."""

    actions: dict[str, Action] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    votes: list[Vote] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    audit: list[Told] = field(default_factory=list)
    sunk: list[Sunk] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    in_flight: set[str] = field(default_factory=set)
    announced: list[Announced] = field(default_factory=list)
    chain: list[str] = field(default_factory=list)
    """What is wrong with the chain of the audit log."""

    @cached_property
    def effects(self) -> dict[str, list[Sunk]]:
        """The effects by key."""
        found: dict[str, list[Sunk]] = defaultdict(list)
        for line in self.sunk:
            if line.what == "effect":
                found[line.key].append(line)
        return found

    @cached_property
    def cut_off(self) -> int:
        """How many calls were never made, because whoever asked for them cancelled the run before it came to them."""
        made = Counter(action.run_id for action in self.actions.values())
        asked = {line["run"]: len(line["calls"]) for line in self.said("read", "ok")}
        return sum(
            asked.get(run.id, made[run.id]) - made[run.id] for run in self.runs.values() if run.state == "cancelled"
        )

    def had(self, action: Action) -> int:
        """How many effects an action had."""
        return len(self.effects.get(action.id, ()))

    def said(self, operation: str, *kinds: str) -> list[dict[str, Any]]:
        """What clients were told of an operation: `ok`, `fail` or `info`; all of it where none is named."""
        return [line for line in self.history if line["f"] == operation and (not kinds or line["type"] in kinds)]


_ACTIONS = """SELECT id::text, run_id::text, step, place, call_id, tool, retry, state, code, attempt, arguments, digest,
    approval_id::text, resolution FROM chat_action ORDER BY id"""
_APPROVALS = """SELECT id::text, subject_id::text, run_id::text, status, decision,
    extract(epoch FROM decided_at)::float8, decided_by_id::text, requested_by_id::text, arguments, digest,
    (terms ->> 'quorum_approve')::int FROM approvals_approval ORDER BY id"""
_VOTES = "SELECT approval_id::text, user_id::text, decision, void FROM approvals_vote ORDER BY id"
_RUNS = """SELECT run.id::text, run.state, run.attempt, run.error_code, message.content, coalesce(message.parts, '[]')
    FROM chat_run AS run LEFT JOIN chat_message AS message ON message.id = run.answer_id ORDER BY run.id"""
_AUDIT = """SELECT event.type, event.target_id::text, event.actor_id::text, payload.data
    FROM approvals_auditevent AS event JOIN approvals_auditpayload AS payload ON payload.event_id = event.id
    WHERE event.target_kind IN ('action', 'approval', 'run') ORDER BY event.id"""
_ANNOUNCED = """SELECT id::text, type,
    payload ->> CASE type WHEN 'action.finished' THEN 'action_id' ELSE 'approval_id' END,
    done_at IS NOT NULL FROM approvals_outboxitem WHERE topic = 'webhook' ORDER BY id"""


def collect(stack: Stack, *, effects: Path, history: Path, in_flight: set[str]) -> Evidence:
    """Read everything, once nothing moves any more."""
    return Evidence(
        actions={row[0]: Action(*row) for row in stack.sql(_ACTIONS)},
        approvals={row[0]: Approval(*row) for row in stack.sql(_APPROVALS)},
        votes=[Vote(*row) for row in stack.sql(_VOTES)],
        runs={row[0]: Run(*row) for row in stack.sql(_RUNS)},
        audit=[Told(*row[:3], json.loads(row[3])) for row in stack.sql(_AUDIT)],
        sunk=[Sunk(**line) for line in read(effects)],
        history=read(history),
        in_flight=in_flight,
        announced=[Announced(*row) for row in stack.sql(_ANNOUNCED)],
    )


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
