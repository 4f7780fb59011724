"""What a person wishes in their chat of the approvals that its run waits for, each as a decision of their own."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from accounts.models import Actor
from approvals.models import Decision
from approvals.services import approvals
from core.errors import Conflict, Forbidden, Invalid, NotFound


@dataclass(frozen=True, slots=True)
class Wish:
    """That a request be approved, or be rejected for a reason."""

    approval_id: UUID
    approve: bool
    reason: str = ""


def decide(wishes: Iterable[Wish], *, by: Actor, fresh: bool = False) -> None:
    """Decide as this person wishes; a request that they may not decide, or that is over, stays as it is.

    What they are not entitled to is refused and logged by the approvals' own service, and whoever chats is told how
    the run stands then. Not to be called in a transaction.
    """
    for wish in wishes:
        decision = Decision.APPROVE if wish.approve else Decision.REJECT
        try:
            approvals.decide(wish.approval_id, by=by, decision=decision, reason=wish.reason, fresh=fresh)
        except (Forbidden, Conflict, NotFound, Invalid):
            continue
