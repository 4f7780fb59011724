"""Wishes about approvals that come by a chat: an approver's is a decision, anybody else's changes nothing."""

import pytest

from approvals.models import Approval, ApprovalStatus, AuditEvent
from chat.models import Run, RunState
from chat.services import resuming
from chat.services.resuming import Wish
from core import ids
from tests.chat.acting import RESTART


@pytest.mark.parametrize("approve", [True, False])
def test_an_approvers_wish_is_their_decision(step, manager, approve):
    run = step(RESTART)
    approval = Approval.objects.get(run_id=run.pk)
    resuming.decide([Wish(approval.pk, approve, "As I said")], by=manager)
    approval.refresh_from_db()
    wanted = ApprovalStatus.APPROVED if approve else ApprovalStatus.REJECTED
    assert (approval.status, approval.decided_by, approval.reason) == (wanted, manager.user, "As I said")


def test_the_wish_of_who_asked_is_logged_and_leaves_what_waits_as_it_is(step, member):
    run = step(RESTART)
    approval = Approval.objects.get(run_id=run.pk)
    resuming.decide([Wish(approval.pk, True)], by=member)
    approval.refresh_from_db()
    assert approval.status == ApprovalStatus.PENDING
    assert Run.objects.get(pk=run.pk).state == RunState.WAITING_APPROVAL
    assert AuditEvent.objects.filter(type="approval.denied_attempt").count() == 1


def test_a_wish_that_comes_too_late_or_for_nothing_keeps_no_other_from_being_heard(step, manager):
    run = step(RESTART, RESTART)
    first, second = Approval.objects.filter(run_id=run.pk).order_by("id")
    resuming.decide([Wish(first.pk, False, "No")], by=manager)
    resuming.decide([Wish(first.pk, True), Wish(ids.new(), True), Wish(second.pk, True)], by=manager)
    assert [row.status for row in Approval.objects.order_by("id")] == ["rejected", "approved"]
