"""What people decide about approvals in the midst of a chat, through dialects that can say so."""

from collections.abc import Collection
from uuid import UUID

from django.conf import settings
from rest_framework.request import Request

from accounts import limits
from accounts.authentication import actor_of
from accounts.services import login
from approvals.services.ballots import LONGEST_REASON
from chat.services import resuming
from chat.services.resuming import Wish

REJECTED = "Rejected in the chat, without a reason."


def wish(approval_id: UUID, approved: bool, reason: str) -> Wish:
    """What somebody wishes; a rejection needs a reason, and clients send many without."""
    reason = reason[:LONGEST_REASON].strip()
    return Wish(approval_id, approved, reason if approved else reason or REJECTED)


def decide(request: Request, wishes: Collection[Wish]) -> None:
    """Decide as the caller wishes, where they may.

    Decisions are counted for themselves, as at every door, and refused where they cannot be: raises RateLimited,
    Unavailable. Not to be called in a transaction.
    """
    if wishes:
        limit, who = settings.LIMITS["decide"], limits.caller(request)
        limits.guard("decide", limit=limit, who=who, fail_closed=True, request=request._request)
        resuming.decide(wishes, by=actor_of(request), fresh=login.is_fresh(str(request.auth)))
