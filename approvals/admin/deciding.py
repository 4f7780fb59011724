"""How a decision comes from a page to the service, and what is said of one that is refused."""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.admin import scope
from accounts.models import Actor, User
from approvals import shown
from approvals.models import Approval, ApprovalStatus
from approvals.services import audit
from approvals.services.endings import entry
from core import ledger
from core.errors import DomainError


def to_decide(request: HttpRequest, approval_id: UUID) -> tuple[Approval, Actor]:
    """The request that somebody wants to decide, and who they are where it is; raises PermissionDenied.

    Whoever may not see it is told the same of every id, and the log of the workspace is told of them. Who may see it
    and decides nothing is the service's to refuse.
    """
    rows = Approval.objects.select_related("workspace", "requested_by", "decided_by")
    approval = rows.filter(pk=approval_id).first()
    if approval is None:
        raise PermissionDenied
    try:
        actor = scope.actor(request, approval.workspace)
    except PermissionDenied:
        actor = None
    if actor is None or not Approval.objects.visible_to(actor).filter(pk=approval_id).exists():
        _log_stranger(request, approval)
        raise PermissionDenied
    return approval, actor


def told(error: DomainError) -> str:
    """What a refusal says, and of a decision that stands whose it is."""
    standing: Any = error.extra.get("approval")
    if not isinstance(standing, dict):
        return error.detail
    person, at = standing.get("decided_by"), parse_datetime(standing.get("decided_at") or "")
    by = f" by {person['name']}" if person else ""
    ago = f", {shown.span(timezone.now() - at)} ago" if at else ""
    reason = f" Reason: {standing['reason']}" if standing.get("reason") else ""
    return f"Nothing was done: it was {standing['status']}{by}{ago}.{reason}"


def result(approval: Approval) -> str:
    """What a decision came to."""
    if approval.status != ApprovalStatus.PENDING:
        return f"{approval.get_status_display()}."
    given = approval.votes.filter(void=False).count()
    return f"Your vote is counted; {given} of {approval.terms['quorum_approve']} are there."


def _log_stranger(request: HttpRequest, approval: Approval) -> None:
    user = request.user
    if not isinstance(user, User):
        return
    who = ledger.person(user.pk, label=str(user))
    with transaction.atomic():
        audit.record(entry(approval, "approval.denied_attempt", who, code="no_role"))
