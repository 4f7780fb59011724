"""Which request somebody wants to decide in the admin, and who they are there."""

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.admin import scope
from accounts.models import Actor
from approvals import replies
from approvals.models import Approval


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
        replies.log_stranger(approval, scope.user(request))
        raise PermissionDenied
    return approval, actor
