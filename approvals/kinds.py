"""What an approval can be about: the app that owns the matter registers here how to go on with it.

Every method runs in the caller's transaction. Locks are taken in one order everywhere: conversation, run, action,
approval; `lock` takes those that stand above the approval.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from approvals.calls import Call, Context, PastCall
from approvals.models import Approval
from approvals.rules import Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Edited arguments, valid and permitted to be asked about: what takes the place of what was proposed.

    `ask` says on which terms policy asks about them; None where it would not ask, and the terms stay as they were.
    """

    arguments: dict[str, Any]
    digest: str
    preview: dict[str, Any]
    policy_version: int
    ask: Ask | None = None


class Kind(Protocol):
    """What the owner of a kind of approvals brings."""

    def lock(self, subject_id: UUID) -> None:
        """Lock what stands above the approval."""

    def revise(self, approval: Approval, arguments: dict[str, Any]) -> Revision:
        """Check and judge edited arguments and store them with the subject; raises Invalid or a kind of Forbidden."""

    def decided(self, approval: Approval) -> None:
        """Go on: the approval has left `pending`, whichever way."""

    def current(self, approval: Approval) -> tuple[str, Call]:
        """The digest of what would run, and what policy judges, both from what is stored now."""

    def call(self, approval: Approval) -> Call:
        """What policy judges, from what is stored now."""

    def changed(self, approval: Approval) -> str:
        """Why what was asked for cannot run as it was shown, and what to do; empty where it can."""

    def calls_since(self, workspace_id: UUID, since: datetime) -> Iterator[PastCall]:
        """Every call judged since then, oldest first."""

    def context(self, approval: Approval) -> Context:
        """What people see beside the request: what was said, and how the matter stands."""


_kinds: dict[str, Kind] = {}


def register(name: str, kind: Kind) -> None:
    """Say who owns approvals of this kind; called from the owner's AppConfig.ready()."""
    _kinds[name] = kind


def of(name: str) -> Kind:
    """The owner of approvals of this kind."""
    return _kinds[name]


def every() -> dict[str, Kind]:
    """All kinds by name."""
    return dict(_kinds)
