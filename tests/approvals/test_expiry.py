"""What time does: requests pass to others, and end; the clock is the database's."""

import logging
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from accounts.models import Actor, Group, Workspace
from approvals.models import Approval, Decision, OutboxItem
from approvals.services import approvals
from approvals.services.endings import UnknownApproval
from tests.approvals.desk import events, fresh, request
from tests.cast import person

SOON = timedelta(minutes=30)


@pytest.fixture
def second_line(workspace: Workspace) -> Actor:
    """A member of the group that is asked second."""
    actor = person(workspace, "second")
    Group.objects.create(workspace=workspace, name="Second line").members.add(actor.user)
    return actor


def escalating(desk, person: Actor, **changes):
    group = Group.objects.get(name="Second line")
    return request(desk, person, escalate_after=SOON, escalate_to=group.pk, **changes)


def pass_time(by: timedelta) -> None:
    """As if so much time had gone by."""
    for row in Approval.objects.all():
        row.expires_at -= by
        row.escalates_at = row.escalates_at and row.escalates_at - by
        row.save(update_fields=["expires_at", "escalates_at"])


def test_what_nobody_decided_in_time_ends(desk, member, manager):
    old, young = request(desk, member), request(desk, member, request_lasts=timedelta(hours=48))
    done = approvals.decide(request(desk, member).pk, by=manager, decision=Decision.APPROVE)
    assert approvals.expire_due() == 0
    pass_time(timedelta(hours=25))
    assert approvals.expire_due() == 1
    assert approvals.expire_due() == 0
    assert [fresh(one).status for one in (old, young, done)] == ["expired", "pending", "approved"]
    assert desk.heard[-1] == (old.pk, "expired")
    assert events(old) == ["requested", "expired"]


def test_a_sweep_ends_so_many_and_the_oldest_first(desk, member):
    asked = [request(desk, member, request_lasts=timedelta(hours=hours)) for hours in (3, 1, 2)]
    pass_time(timedelta(hours=4))
    assert approvals.expire_due(limit=2) == 2
    assert [fresh(one).status for one in asked] == ["pending", "expired", "expired"]
    assert approvals.expire_due(limit=2) == 1


@pytest.mark.django_db(transaction=True)
def test_a_request_that_cannot_be_ended_stops_no_other(desk, member, caplog):
    first, second = request(desk, member), request(desk, member)
    pass_time(timedelta(hours=25))
    del desk.matters[first.subject_id]
    heard, desk.decided = desk.decided, lambda approval: desk.matters[approval.subject_id] and heard(approval)
    with caplog.at_level(logging.ERROR):
        assert approvals.expire_due() == 1
    assert [fresh(one).status for one in (first, second)] == ["pending", "expired"]
    assert "could not be ended" in caplog.text
    assert events(first) == ["requested"], "what failed has left nothing"


def test_the_second_group_is_asked_after_a_time_and_not_before(desk, member, manager, second_line):
    asked = escalating(desk, member, quorum_approve=2)
    assert approvals.escalate_due() == 0
    assert approvals.may_decide(asked, second_line) == "role_required"
    pass_time(SOON)
    assert approvals.may_decide(asked, second_line) is None, "whether a sweep came by or not"
    OutboxItem.objects.all().delete()
    assert approvals.escalate_due() == 1
    assert approvals.escalate_due() == 0
    assert events(asked) == ["requested", "escalated"]
    assert fresh(asked).escalated_at is not None
    assert list(OutboxItem.objects.filter(topic="email").values_list("target", flat=True)) == [second_line.user.email]
    approvals.decide(asked.pk, by=second_line, decision=Decision.APPROVE)
    done = approvals.decide(asked.pk, by=manager, decision=Decision.APPROVE)
    assert done.status == "approved"
    assert approvals.still_holds(done)


def test_what_passes_to_others_passes_to_nobody_who_is_behind_it(desk, second_line):
    asked = escalating(desk, second_line)
    pass_time(SOON)
    assert approvals.may_decide(asked, second_line) == "requester"
    OutboxItem.objects.all().delete()
    assert approvals.escalate_due() == 1
    assert not OutboxItem.objects.filter(topic="email").exists()


def test_what_was_decided_passes_to_nobody(desk, member, manager, second_line):
    asked = escalating(desk, member)
    approvals.decide(asked.pk, by=manager, decision=Decision.REJECT, reason="No.")
    pass_time(SOON)
    assert approvals.escalate_due() == 0
    assert approvals.may_decide(fresh(asked), second_line) == "already_decided"


def test_who_is_asked_second_sees_the_request_and_a_bystander_does_not(desk, workspace, member, second_line):
    asked = escalating(desk, member)
    assert approvals.visible(asked.pk, by=second_line) == asked
    with pytest.raises(UnknownApproval):
        approvals.visible(asked.pk, by=person(workspace, "bystander"))


def test_times_are_the_databases(desk, member):
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
    asked = request(desk, member, request_lasts=timedelta(hours=2))
    assert abs(asked.expires_at - now - timedelta(hours=2)) < timedelta(minutes=1)
    assert Approval.objects.filter(created_at__lte=Now()).count() == 1
