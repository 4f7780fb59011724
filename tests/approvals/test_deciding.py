"""Deciding: on exactly what was shown, once, and with all that comes of it."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models.functions import Now

from approvals.models import Approval, ApprovalStatus, Decision, Policy
from approvals.services import approvals, audit, endings, policies
from approvals.services.admission import DigestMismatch
from approvals.services.endings import AlreadyDecided, Expired
from core.errors import Invalid
from tests.approvals.desk import events, fresh, request, untouched

APPROVE, REJECT, RESPOND = Decision.APPROVE, Decision.REJECT, Decision.RESPOND


def test_a_managers_approval_releases_what_waits(desk, member, manager):
    asked = request(desk, member)
    assert (asked.status, asked.requested_by, events(asked)) == ("pending", member.user, ["requested"])
    done = approvals.decide(asked.pk, by=manager, decision=APPROVE, digest=asked.digest, reason="Go on.")
    assert (done.status, done.decision, done.decided_by, done.reason) == ("approved", "approve", manager.user, "Go on.")
    assert done.valid_until == done.decided_at + timedelta(hours=1)
    assert desk.heard == [(asked.pk, "approved")]
    assert events(asked) == ["requested", "approved"]
    assert approvals.still_holds(done)


def test_a_rejection_says_why(desk, member, manager):
    asked = request(desk, member)
    for reason in ("", "  \n"):
        with pytest.raises(Invalid, match="reason"):
            approvals.decide(asked.pk, by=manager, decision=REJECT, reason=reason)
    assert untouched(asked)
    done = approvals.decide(asked.pk, by=manager, decision=REJECT, reason="Not today.")
    assert (done.status, done.reason, done.valid_until) == ("rejected", "Not today.", None)
    assert desk.heard == [(asked.pk, "rejected")]
    assert not approvals.still_holds(done)


def test_a_response_takes_the_place_of_the_result(desk, member, manager):
    asked = request(desk, member)
    for response in ("", " "):
        with pytest.raises(Invalid, match="response"):
            approvals.decide(asked.pk, by=manager, decision=RESPOND, response=response)
    with pytest.raises(Invalid, match="response"):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, response="Done by hand.")
    done = approvals.decide(asked.pk, by=manager, decision=RESPOND, response="Done by hand.")
    assert (done.status, done.decision, done.response) == ("approved", "respond", "Done by hand.")


def test_nobody_responds_where_several_must_approve(desk, member, manager):
    asked = request(desk, member, quorum_approve=2)
    with pytest.raises(Invalid, match="several"):
        approvals.decide(asked.pk, by=manager, decision=RESPOND, response="Done by hand.")
    assert untouched(asked)


def test_the_second_decider_is_told_how_it_stands(desk, member, manager, colleague):
    asked = request(desk, member)
    approvals.decide(asked.pk, by=manager, decision=REJECT, reason="No.")
    with pytest.raises(AlreadyDecided) as refused:
        approvals.decide(asked.pk, by=colleague, decision=APPROVE)
    told = refused.value.extra["approval"]
    assert (told["id"], told["status"], told["reason"]) == (str(asked.pk), "rejected", "No.")
    assert told["decided_by"] == {"id": str(manager.user.pk), "name": "Manager"}
    assert fresh(asked).status == "rejected"
    assert events(asked) == ["requested", "rejected"]


def test_a_decision_is_bound_to_what_was_shown(desk, member, manager):
    asked, other = request(desk, member), request(desk, member, call={"arguments": {"service": "mail"}})
    for wrong in (other.digest, asked.digest[:-1], asked.digest.upper(), "0" * 64, ""):
        with pytest.raises(DigestMismatch):
            approvals.decide(asked.pk, by=manager, decision=APPROVE, digest=wrong)
    assert untouched(asked)
    assert set(events(asked)) == {"requested", "denied_attempt"}
    assert approvals.decide(asked.pk, by=manager, decision=APPROVE, digest=asked.digest).status == "approved"


def test_the_digest_is_needed_where_the_policy_says_so(desk, member, manager):
    asked = request(desk, member, digest_required=True)
    for decision, reason in ((APPROVE, ""), (REJECT, "No.")):
        with pytest.raises(Invalid, match="digest"):
            approvals.decide(asked.pk, by=manager, decision=decision, reason=reason)
    assert untouched(asked)
    assert approvals.decide(asked.pk, by=manager, decision=APPROVE, digest=asked.digest).status == "approved"


@pytest.mark.parametrize("sent", [True, False])
def test_what_was_changed_behind_the_request_is_not_decided_on(desk, member, manager, sent):
    asked = request(desk, member)
    desk.matters[asked.subject_id].arguments = {"service": "everything"}
    with pytest.raises(DigestMismatch) as refused:
        approvals.decide(asked.pk, by=manager, decision=APPROVE, digest=asked.digest if sent else None)
    assert refused.value.extra["approval"]["status"] == "superseded"
    assert fresh(asked).status == "superseded"
    assert desk.heard == [(asked.pk, "superseded")]


def test_a_late_vote_ends_the_request_as_expired(desk, member, manager):
    asked = request(desk, member)
    Approval.objects.update(expires_at=Now() - timedelta(seconds=1))
    with pytest.raises(Expired) as refused:
        approvals.decide(asked.pk, by=manager, decision=APPROVE)
    assert refused.value.extra["approval"]["status"] == "expired"
    assert (fresh(asked).status, events(asked)) == ("expired", ["requested", "expired"])
    assert desk.heard == [(asked.pk, "expired")]
    with pytest.raises(Expired):
        approvals.decide(asked.pk, by=manager, decision=APPROVE)


def test_what_belongs_to_the_decision_is_done_in_its_transaction(desk, member, manager):
    asked = request(desk, member)

    def fail(approval: Approval) -> None:
        assert approval.status == "approved"
        raise Invalid("The answer cannot be kept.")

    with pytest.raises(Invalid, match="kept"):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, also=fail)
    assert untouched(asked)
    assert events(asked) == ["requested"]


def test_the_cancelled_requests_of_a_run_are_over(desk, member, manager):
    run = request(desk, member).run_id
    second = request(desk, member, call={"run_id": run})
    other = request(desk, member)
    decided = request(desk, member, call={"run_id": run})
    approvals.decide(decided.pk, by=manager, decision=APPROVE)
    who = audit.person(member)
    assert approvals.cancel(run, who=who, reason="Stopped.") == 2
    assert approvals.cancel(run, who=who, reason="Stopped.") == 0
    assert (fresh(second).status, fresh(second).reason) == ("cancelled", "Stopped.")
    assert (fresh(other).status, fresh(decided).status) == ("pending", "approved")
    with pytest.raises(AlreadyDecided):
        approvals.decide(second.pk, by=manager, decision=APPROVE)


def test_an_end_is_written_over_no_other_even_without_the_locks(desk, member, manager):
    asked = request(desk, member)
    stale = fresh(asked)
    approvals.decide(asked.pk, by=manager, decision=APPROVE)
    with pytest.raises(AlreadyDecided), transaction.atomic():
        endings.end(stale, ApprovalStatus.EXPIRED, who=audit.SYSTEM)
    assert (fresh(asked).status, desk.heard) == ("approved", [(asked.pk, "approved")])


def test_a_superseded_request_is_over_once(desk, member, manager):
    asked = request(desk, member)
    assert approvals.supersede(asked.pk, reason="The policy changed.")
    assert not approvals.supersede(asked.pk, reason="The policy changed.")
    with pytest.raises(AlreadyDecided):
        approvals.decide(asked.pk, by=manager, decision=APPROVE)
    assert desk.heard == [(asked.pk, "superseded")]
    assert events(asked) == ["requested", "superseded"]


def test_several_requests_are_decided_one_by_one(desk, member, manager, owner):
    first, second, mine = request(desk, member), request(desk, member), request(desk, manager)
    approvals.decide(second.pk, by=owner, decision=REJECT, reason="No.")
    wanted = [first.pk, second.pk, mine.pk]
    results = approvals.decide_many(wanted, by=manager, decision=APPROVE)
    assert [one.approval_id for one in results] == wanted
    assert [one.error and one.error.code for one in results] == [None, "already_decided", "requester"]
    assert [fresh(one).status for one in (first, second, mine)] == ["approved", "rejected", "pending"]


def test_a_lot_is_of_one_tool_and_of_bounded_size(desk, member, manager):
    first, second = request(desk, member), request(desk, member, call={"tool": "light_switch"})
    for wrong in ([], [first.pk, first.pk], [first.pk, second.pk], [member.user.pk] * 101):
        with pytest.raises(Invalid, match="ids"):
            approvals.decide_many(wrong, by=manager, decision=APPROVE)
    with pytest.raises(Invalid, match="reason"):
        approvals.decide_many([first.pk], by=manager, decision=REJECT)
    assert untouched(first)
    assert untouched(second)


def test_rules_that_came_since_end_what_they_judge_otherwise(desk, member, manager, owner, monkeypatch):
    """Also where the sweep over waiting requests has not come to it."""
    monkeypatch.setattr(policies, "rejudge", lambda workspace_id: 0)
    wanted = {"policy": "Restarts", "roles": ("manager",)}
    policy = Policy(workspace=owner.workspace, name="Restarts", tool="service_*")
    policies.save(policy, by=owner)
    policies.save(policy, by=owner)
    asked, other = request(desk, member, **wanted), request(desk, member, **wanted)
    assert approvals.decide(asked.pk, by=manager, decision=APPROVE).status == "approved", "they judge it alike"
    policy.quorum_approve = 2
    policies.save(policy, by=owner)
    with pytest.raises(AlreadyDecided) as refused:
        approvals.decide(other.pk, by=manager, decision=APPROVE)
    assert refused.value.extra["approval"]["status"] == "superseded"
    assert events(other) == ["requested", "superseded"]
