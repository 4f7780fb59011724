"""How any app tells the audit log what was done, although a higher floor keeps it, and where a request came from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

INSTALLATION = UUID(int=0)
"""The workspace of what concerns none, such as a sign-in with an unknown address."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who did it: a `person`, an `agent` or the `system`; on whose behalf, by what name, with which key."""

    kind: str
    id: UUID | None
    person_id: UUID | None = None
    label: str = ""
    key: str = ""


SYSTEM = Who("system", None)


def person(user_id: UUID, *, label: str, key: str = "") -> Who:
    """A person, who acts on their own behalf; `key` is the public id of the key in their hand."""
    return Who("person", user_id, user_id, label, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened. `type` is a name of approvals/events.py, `target` the kind and id of what it was about.

    `data` is what may have to be erased one day. Secrets in it are replaced by keyed hashes: those under a telling
    name, those that look like one, and every `core.sealed.Secret`.
    """

    type: str
    workspace_id: UUID
    who: Who
    target: tuple[str, UUID] | None = None
    agent_id: UUID | None = None
    session_id: UUID | None = None
    data: dict[str, Any] = field(default_factory=dict)


_recorders: list[Callable[..., None]] = []
_origin: ContextVar[dict[str, str] | None] = ContextVar("origin", default=None)


def register(recorder: Callable[..., None]) -> None:
    """Say what keeps the log; called once, from the AppConfig.ready() of the app that owns it."""
    _recorders[:] = [recorder]


def record(*entries: Entry) -> None:
    """Write to the audit log in the transaction at hand; whatever it raises must roll the change back."""
    (recorder,) = _recorders
    recorder(*entries)


@contextmanager
def came_from(**where: str) -> Iterator[None]:
    """What is recorded inside says that it came from there: `ip`, `request_id`."""
    token = _origin.set(where)
    try:
        yield
    finally:
        _origin.reset(token)


def arrive(**where: str) -> None:
    """As `came_from`, for all that follows in this task: a socket has no block that lasts as long as it does."""
    _origin.set(where)


def origin() -> dict[str, str]:
    """Where the request at hand came from; empty in a worker."""
    return _origin.get() or {}
