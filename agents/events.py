"""What happens in a run, provider-neutral: the closed union that the log keeps and every dialect encodes.

The structs are frozen, and their tag is the event's name on the wire of the log. `match` over `Event` ends with
`assert_never`, so a new event is not forgotten anywhere.
"""

from typing import Any

import msgspec


class RunStarted(msgspec.Struct, frozen=True, tag="run.started"):
    """A worker took the run up for the first time; a reader's text begins empty here."""

    conversation_id: str
    companion: str
    provider: str
    model: str


class RunRestarted(msgspec.Struct, frozen=True, tag="run.restarted"):
    """Another attempt began because the one before died: drop this answer's text so far."""

    attempt: int
    reason: str
    provider: str = ""
    model: str = ""


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """All of the answer so far, in place of events that can no longer be served."""

    attempt: int
    text: str
    reasoning: str = ""


class Speaker(msgspec.Struct, frozen=True):
    """Which agent speaks within an answer of several, as what, and at which place of it."""

    agent_id: str
    agent_name: str
    role: str
    place: str


class TextDelta(msgspec.Struct, frozen=True, omit_defaults=True, tag="text.delta"):
    """More of the answer's text; `speaker` where several agents speak in it."""

    text: str
    speaker: Speaker | None = None


class ReasoningDelta(msgspec.Struct, frozen=True, omit_defaults=True, tag="reasoning.delta"):
    """More of what the model says that it thinks."""

    text: str
    speaker: Speaker | None = None


class ToolProposed(msgspec.Struct, frozen=True, tag="tool.proposed"):
    """The model asked for a tool call; `client` says that whoever sent the message makes it and brings the result."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    client: bool = False


class ApprovalRequested(msgspec.Struct, frozen=True, tag="approval.requested"):
    """A call waits for a manager; `expires_at` is RFC 3339."""

    approval_id: str
    call_id: str
    name: str
    risk: str
    expires_at: str


class Edited(msgspec.Struct, frozen=True):
    """What runs in the place of a call's arguments, and who changed them."""

    by: str
    arguments: dict[str, Any]


class ApprovalDecided(msgspec.Struct, frozen=True, tag="approval.decided"):
    """A manager decided on a call; `deciders` are all whose votes it took, `by` is who gave the last of them."""

    approval_id: str
    decision: str
    by: str
    reason: str = ""
    deciders: list[str] = []
    edited: Edited | None = None

    @property
    def who(self) -> str:
        """All who decided, for people."""
        return " and ".join(self.deciders) or self.by

    @property
    def what(self) -> str:
        """What they decided, for people."""
        changed = f", with arguments changed by {self.edited.by or 'an approver'}" if self.edited else ""
        return f"{self.decision}{changed}"

    @property
    def beside(self) -> dict[str, Any]:
        """`deciders`, and `edited` where there is any, as JSON for programs."""
        edited = {"edited": {"by": self.edited.by, "arguments": self.edited.arguments}} if self.edited else {}
        return {"deciders": self.deciders, **edited}


class ToolStarted(msgspec.Struct, frozen=True, tag="tool.started"):
    """A tool call began to run."""

    call_id: str
    name: str


class ToolFinished(msgspec.Struct, frozen=True, tag="tool.finished"):
    """A tool call ended; `summary` is short and safe to show."""

    call_id: str
    name: str
    ok: bool
    summary: str


class TeamBegan(msgspec.Struct, frozen=True, tag="team.began"):
    """A team answers, in this mode; `members` are {agent_id, agent_name} in the order in which they are listed."""

    mode: str
    members: list[dict[str, str]]


class MemberEnded(msgspec.Struct, frozen=True, tag="member.ended"):
    """A member of a team has said what it was asked for, by the run `run_id`; `error` says why not, where it failed."""

    agent_id: str
    agent_name: str
    role: str
    place: str
    run_id: str | None
    error: str = ""


LENGTH, FILTERED = "length", "filtered"


class Status(msgspec.Struct, frozen=True, omit_defaults=True, tag="status"):
    """A word on what is going on, for people; `code` LENGTH or FILTERED says why the model stopped."""

    label: str
    code: str = ""


class ProviderChanged(msgspec.Struct, frozen=True, tag="provider.changed"):
    """Another provider and model answer from here on, before anything was said; `label` tells people why."""

    provider: str
    model: str
    label: str


class Compacted(msgspec.Struct, frozen=True, tag="context.compacted"):
    """The model is told a summary, made by this one, in place of so many older messages; the transcript keeps them."""

    messages: int
    provider: str
    model: str


class MemoriesRecalled(msgspec.Struct, frozen=True, tag="memories.recalled"):
    """The model is told these memories of the person with the message."""

    memories: list[str]


class Usage(msgspec.Struct, frozen=True, tag="usage"):
    """Tokens and money of the answer so far; `cost_usd` is None where no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


MOST_TOKENS = 10**12  # that a provider is believed: it may tell anything
MOST_USD = 10_000.0


def believed(usage: Usage) -> Usage:
    """A turn's usage as far as a provider is believed: within bounds that can be stored, whatever it told."""
    given, answer = (min(max(0, told), MOST_TOKENS) for told in (usage.input_tokens, usage.output_tokens))
    cost = usage.cost_usd
    return Usage(given, answer, cost if cost is not None and 0 <= cost <= MOST_USD else None)


def usage_json(usage: Usage | None) -> dict[str, Any] | None:
    """Usage as it is stored and served."""
    return None if usage is None else msgspec.structs.asdict(usage)


def added(before: Usage | None, more: Usage) -> Usage:
    """What two turns of a model took together; the cost is known where both are."""
    if before is None:
        return more
    known = before.cost_usd is not None and more.cost_usd is not None
    cost = (before.cost_usd or 0.0) + (more.cost_usd or 0.0) if known else None
    return Usage(before.input_tokens + more.input_tokens, before.output_tokens + more.output_tokens, cost)


class MessageCompleted(msgspec.Struct, frozen=True, tag="message.completed"):
    """The answer was stored, at a time in RFC 3339; what it says was said by the deltas."""

    message_id: str
    created_at: str


class RunCompleted(msgspec.Struct, frozen=True, tag="run.completed"):
    """Terminal: the answer stands, and is this provider's."""

    message_id: str
    text: str
    provider: str = ""
    model: str = ""


class RunWaiting(msgspec.Struct, frozen=True, tag="run.waiting"):
    """Ends this stream: the run waits for approvals or for the results of the client's own calls, and then goes on.

    Each of `calls` is {call_id, name, arguments}.
    """

    approvals: list[str]
    text: str
    provider: str = ""
    model: str = ""
    calls: list[dict[str, Any]] = []


class RunFailed(msgspec.Struct, frozen=True, tag="run.failed"):
    """Terminal: the run ended without an answer; what was said is kept. `budget` is which limit had no room, if any."""

    code: str
    message: str
    retryable: bool = False
    budget: dict[str, Any] | None = None


class RunCancelled(msgspec.Struct, frozen=True, tag="run.cancelled"):
    """Terminal: somebody stopped the run; what was said is kept."""

    message_id: str | None
    text: str
    by: str = ""
    provider: str = ""
    model: str = ""


Event = (
    RunStarted
    | RunRestarted
    | Snapshot
    | TextDelta
    | ReasoningDelta
    | ToolProposed
    | ApprovalRequested
    | ApprovalDecided
    | ToolStarted
    | ToolFinished
    | TeamBegan
    | MemberEnded
    | Status
    | ProviderChanged
    | Compacted
    | MemoriesRecalled
    | Usage
    | MessageCompleted
    | RunCompleted
    | RunWaiting
    | RunFailed
    | RunCancelled
)

TERMINAL = (RunCompleted, RunFailed, RunCancelled)
"""The events after which a run never speaks again; `RunWaiting` ends a stream, not the run."""

RESETS = (RunStarted, RunRestarted, Snapshot)
"""The events at which a reader's text begins anew, so that reading may begin at them."""
