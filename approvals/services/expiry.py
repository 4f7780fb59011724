"""What time does to requests: they pass to others, and they end. Sweeps that may run anywhere, at once and twice."""

import logging
from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from approvals import live
from approvals.models import Approval, ApprovalStatus
from approvals.preferences import ENDING, PASSED_ON
from approvals.querysets import ApprovalQuerySet
from approvals.services import audit, endings, outbox, rights
from approvals.services.endings import entry, payload

log = logging.getLogger(__name__)


def expire_due(limit: int = 100) -> int:
    """End the pending requests whose time is over, the oldest first; returns how many."""
    due = Approval.objects.pending().overdue().order_by("expires_at", "pk")
    return _each(due, limit, _expire)


def escalate_due(limit: int = 100) -> int:
    """Tell the second group of the requests that have come to it; returns how many there were."""
    late = Approval.objects.pending().filter(escalated_at=None, escalates_at__lte=Now(), expires_at__gt=Now())
    return _each(late.order_by("escalates_at", "pk"), limit, _escalate)


def remind_due(limit: int = 100) -> int:
    """Remind, once, those who have not decided a request that ends soon; returns of how many requests."""
    late = Approval.objects.pending().filter(reminds_at__lte=Now(), expires_at__gt=Now())
    return _each(late.order_by("reminds_at", "pk"), limit, _remind)


def _each(due: ApprovalQuerySet, limit: int, act: Callable[[Approval], None]) -> int:
    """Do it to each that is due, in a transaction of its own and with all locks; one that fails stops no other.

    What another has locked just now is left to it. The locks that the search takes are given back at once, because
    those that stand above the request come before it.
    """
    with transaction.atomic():
        found = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
    done = 0
    for approval_id in found:
        try:
            done += _one(due, approval_id, act)
        except Exception:
            log.exception("a request could not be ended", extra={"approval": str(approval_id)})
    return done


@transaction.atomic
def _one(due: ApprovalQuerySet, approval_id: UUID, act: Callable[[Approval], None]) -> bool:
    approval = endings.locked(approval_id)
    if approval is None or not due.filter(pk=approval_id).exists():
        return False
    act(approval)
    return True


def _expire(approval: Approval) -> None:
    endings.end(approval, ApprovalStatus.EXPIRED, who=audit.SYSTEM)


def _escalate(approval: Approval) -> None:
    Approval.objects.filter(pk=approval.pk).update(escalated_at=Now())
    group = approval.terms["escalate_to"]
    audit.record(entry(approval, "approval.escalated", audit.SYSTEM, group_id=group))
    told = payload(approval, escalated=True)
    whom = outbox.Audience(PASSED_ON, rights.asked_in(approval, group))
    outbox.put(approval.workspace_id, "approval.requested", told, to=[whom])
    live.changed(approval.workspace_id)


def _remind(approval: Approval) -> None:
    Approval.objects.filter(pk=approval.pk).update(reminds_at=None)
    whom = outbox.Audience(ENDING, rights.undecided(approval))
    outbox.put(approval.workspace_id, "approval.ending", payload(approval), to=[whom])
