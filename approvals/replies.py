"""What people are told of their decision: what came of it, and why it was refused and where to turn."""

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import Actor, User
from approvals import shown, standing
from approvals.models import Approval, ApprovalStatus, Decision
from approvals.services import audit, rights
from approvals.services.endings import entry
from core import ledger
from core.errors import DomainError

OVER = {
    ApprovalStatus.APPROVED: "{by} approved this{ago}; it may be running or have run.",
    ApprovalStatus.REJECTED: "{by} rejected this{ago}; it does not run.",
    ApprovalStatus.EXPIRED: "Nobody decided in time: this ended{ago}, and it does not run.",
    ApprovalStatus.CANCELLED: "This was cancelled{ago}; it does not run.",
    ApprovalStatus.SUPERSEDED: "This ended{ago} and was judged anew; if that asks again, the inbox has a new request.",
}
CHANGED = "Nothing was decided: the request has changed since this page showed it. Read it again, then decide."
ANSWERED = "{by} answered this{ago} in place of the tool; it does not run."


def told(error: DomainError | type[DomainError], approval: Approval) -> str:
    """What a refusal says and where to turn, and of a decision that stands whose it is and what came of it."""
    extra: Any = getattr(error, "extra", {}).get("approval")
    if isinstance(extra, dict) and extra.get("status") in OVER:
        return f"Your decision was not counted. {_standing(extra)}"
    said = error.detail if isinstance(error, DomainError) else error.default_detail
    match error.code:
        case "role_required" | "requester" if rights.nobody_left(approval):
            return said if rights.NOBODY in said else f"{said} {rights.NOBODY}"
        case "role_required" | "requester":
            return f"{said} Asked are: {', '.join(standing.asked(approval)) or 'nobody; an admin changes the policy'}."
        case "already_voted":
            return f"{said} It waits for the votes of others: {', '.join(standing.asked(approval))}."
        case "tier_required":
            return f"{said} Whoever runs this installation sets the workspace's tier."
        case "break_glass_off":
            return f"{said} An admin permits it on the workspace's page."
    return said


def result(approval: Approval) -> str:
    """What a decision came to."""
    if approval.status != ApprovalStatus.PENDING:
        return f"{approval.get_status_display()}."
    given = approval.votes.filter(void=False).count()
    return f"Your vote is counted: {given} of {approval.terms['quorum_approve']} votes."


def counted(approval: Approval, by: Actor, said: Decision, digest: str) -> bool:
    """Whether just this vote was counted before: what is sent twice decides once, and is told so."""
    return approval.votes.filter(user=by.user, decision=said, digest=digest, void=False).exists()


def log_stranger(approval: Approval, user: User) -> None:
    """Write down that somebody tried to decide who may not even see it."""
    who = ledger.person(user.pk, label=str(user))
    with transaction.atomic():
        audit.record(entry(approval, "approval.denied_attempt", who, code="no_role"))


def _standing(told: dict[str, Any]) -> str:
    """A decision in words, from what a refusal carries of it."""
    at, person = parse_datetime(told.get("decided_at") or ""), told.get("decided_by")
    said = ANSWERED if told.get("decision") == Decision.RESPOND else OVER[told["status"]]
    ago = f" {shown.span(timezone.now() - at)} ago" if at else ""
    reason = f" Reason: {told['reason']}" if told.get("reason") else ""
    return said.format(by=person["name"] if person else "Somebody", ago=ago) + reason
