"""What policy judges: a call that an agent wants to make, as plain data."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Person:
    """The person behind a run; `role` is empty where they belong to the workspace no more."""

    id: UUID
    email: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """The accounts of those who stand behind a call: who asked for it, and who wrote what asked a person's agent so.

    Who of them may decide on it nevertheless is said in one place, `rights.barred`.
    """

    asked: frozenset[UUID] = frozenset()
    wrote: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call and all that rules may ask of it. `agent` is its slug, `companion` its type or empty."""

    workspace_id: UUID
    tier: str
    tool: str
    risk: str
    arguments: dict[str, Any]
    agent: str
    agent_id: UUID
    autonomy: str
    companion: str = ""
    person: Person | None = None
    run_id: UUID | None = None
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """A call that was judged before, with the verdict (`allow`, `ask` or `deny`) that it got."""

    call: Call
    verdict: str
    policy: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Said:
    """One entry of what was said, as plain text; `who` is the speaker's name."""

    role: str
    text: str
    at: datetime
    who: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A call as it stands: its state in words, what came of it in a line, and where it is looked at, if anywhere."""

    tool: str
    state: str
    summary: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What people who decide see beside a request: who asked, what was said before, and what became of the call."""

    title: str
    person: str = ""
    said: list[Said] = field(default_factory=list)
    run_state: str = ""
    deed: Deed | None = None
    others: list[Deed] = field(default_factory=list)  # of the same run
