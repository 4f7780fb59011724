"""Who may decide: not who asked, not twice, and only while they have the right."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from accounts.models import Group, Membership, Role, Tier
from approvals.models import Approval, AuditPayload, Decision, OutboxItem, Vote
from approvals.services import approvals
from approvals.services.admission import AlreadyVoted, BreakGlassByKey, BreakGlassOff, FreshPasswordRequired
from approvals.services.endings import UnknownApproval
from approvals.services.rights import IsRequester, KeyNotForApprovals, NotAnApprover, TierRequired
from core.errors import Invalid
from tests.approvals.desk import events, request, untouched, with_key
from tests.cast import person

APPROVE, REJECT, RESPOND = Decision.APPROVE, Decision.REJECT, Decision.RESPOND


def test_the_person_behind_a_request_never_decides(desk, owner, manager):
    for who in (manager, owner):
        asked = request(desk, who)
        with pytest.raises(IsRequester):
            approvals.decide(asked.pk, by=who, decision=APPROVE)
        with pytest.raises(IsRequester):
            approvals.decide(asked.pk, by=with_key(who, "approvals"), decision=REJECT, reason="No.")
        assert untouched(asked)
        assert events(asked) == ["requested", "denied_attempt", "denied_attempt"]


def test_neither_does_another_account_of_the_same_person(desk, member, manager, colleague, owner):
    colleague.user.same_person_as = manager.user
    colleague.user.save()
    mine, theirs = request(desk, manager), request(desk, colleague)
    for asked, by in ((mine, colleague), (theirs, manager)):
        with pytest.raises(IsRequester):
            approvals.decide(asked.pk, by=by, decision=APPROVE)
        assert untouched(asked)
    both = request(desk, member, quorum_approve=2)
    approvals.decide(both.pk, by=manager, decision=APPROVE)
    with pytest.raises(AlreadyVoted):
        approvals.decide(both.pk, by=colleague, decision=APPROVE)
    assert approvals.decide(both.pk, by=owner, decision=APPROVE).status == "approved"


def test_who_is_not_asked_is_refused_and_it_is_written_down(desk, member, workspace, auditor, manager):
    asked = request(desk, member, roles=("admin",))
    for who in (auditor, manager):
        with pytest.raises(NotAnApprover):
            approvals.decide(asked.pk, by=who, decision=APPROVE)
    assert untouched(asked)
    assert events(asked) == ["requested", "denied_attempt", "denied_attempt"]
    tried = AuditPayload.objects.filter(event__type="approval.denied_attempt", event__actor_id=auditor.user.pk).get()
    assert '"code":"role_required"' in tried.data


def test_who_cannot_see_a_request_learns_nothing_of_it(desk, member, workspace, stranger):
    asked = request(desk, member)
    for who in (stranger, person(workspace, "bystander")):
        with pytest.raises(UnknownApproval):
            approvals.decide(asked.pk, by=who, decision=APPROVE)
    assert untouched(asked)
    assert events(asked) == ["requested"]


def test_a_role_in_another_workspace_is_none_here(desk, member, other_workspace):
    asked = request(desk, member)
    boss = person(other_workspace, "boss", Role.ADMIN)
    with pytest.raises(UnknownApproval):
        approvals.decide(asked.pk, by=boss, decision=APPROVE)
    Membership.objects.create(workspace=member.workspace, user=boss.user, role=Role.MEMBER)
    assert approvals.may_decide(asked, boss) == "role_required"


def test_a_policy_asks_by_role_group_and_name(desk, workspace, member, manager, owner):
    on_call, named = person(workspace, "oncall"), person(workspace, "named")
    group = Group.objects.create(workspace=workspace, name="On call")
    group.members.add(on_call.user)
    by_group = {"roles": (), "groups": (group.pk,)}
    by_name = {"roles": (), "people": (named.user.pk,)}
    for terms, right, wrong in (
        ({"roles": ("manager",)}, [manager, owner], [on_call, named]),
        (by_group, [on_call], [manager, owner, named]),
        (by_name, [named], [manager, owner, on_call]),
        ({**by_group, "people": (named.user.pk,)}, [on_call, named], [manager, owner]),
    ):
        for who in right:
            assert approvals.decide(request(desk, member, **terms).pk, by=who, decision=APPROVE).status == "approved"
        for who in wrong:
            with pytest.raises((NotAnApprover, UnknownApproval)):
                approvals.decide(request(desk, member, **terms).pk, by=who, decision=APPROVE)


def test_a_group_of_another_workspace_is_asked_in_vain(desk, member, workspace, other_workspace, manager):
    group = Group.objects.create(workspace=other_workspace, name="Theirs")
    group.members.add(manager.user)
    asked = request(desk, member, roles=(), groups=(group.pk,))
    with pytest.raises(NotAnApprover):
        approvals.decide(asked.pk, by=manager, decision=APPROVE)


def test_a_key_decides_only_if_its_scopes_name_approvals(desk, member, manager):
    asked = request(desk, member)
    for scopes in ((), ("chat",), ("admin", "chat")):
        with pytest.raises(KeyNotForApprovals):
            approvals.decide(asked.pk, by=with_key(manager, *scopes), decision=APPROVE)
    assert untouched(asked)
    assert approvals.decide(asked.pk, by=with_key(manager, "approvals"), decision=APPROVE).status == "approved"


def test_the_free_tier_has_no_approvals(desk, member, manager):
    asked = request(desk, member)
    type(member.workspace).objects.update(tier=Tier.FREE)
    with pytest.raises(TierRequired):
        approvals.decide(asked.pk, by=manager, decision=APPROVE)
    assert untouched(asked)
    type(member.workspace).objects.update(tier=Tier.PRO)
    assert approvals.decide(asked.pk, by=manager, decision=APPROVE).status == "approved"


def test_a_fresh_password_is_needed_where_the_policy_says_so(desk, member, manager):
    asked = request(desk, member, fresh_password=True)
    with pytest.raises(FreshPasswordRequired):
        approvals.decide(asked.pk, by=manager, decision=APPROVE)
    assert untouched(asked)
    assert approvals.decide(asked.pk, by=manager, decision=APPROVE, fresh=True).status == "approved"


def test_a_quorum_is_of_different_people(desk, member, manager, colleague):
    asked = request(desk, member, quorum_approve=2)
    assert approvals.decide(asked.pk, by=manager, decision=APPROVE).status == "pending"
    with pytest.raises(AlreadyVoted):
        approvals.decide(asked.pk, by=manager, decision=APPROVE)
    with pytest.raises(AlreadyVoted):
        approvals.decide(asked.pk, by=manager, decision=REJECT, reason="No.")
    assert desk.heard == []
    assert approvals.decide(asked.pk, by=colleague, decision=APPROVE).status == "approved"
    assert events(asked) == ["requested", "voted", "approved"]
    assert Vote.objects.count() == 2


def test_enough_rejections_come_first(desk, member, manager, colleague, owner):
    asked = request(desk, member, quorum_approve=2, quorum_reject=2)
    assert approvals.decide(asked.pk, by=manager, decision=REJECT, reason="No.").status == "pending"
    assert approvals.decide(asked.pk, by=colleague, decision=APPROVE).status == "pending"
    assert approvals.decide(asked.pk, by=owner, decision=REJECT, reason="No!").status == "rejected"


def test_the_vote_of_one_who_lost_the_right_does_not_count(desk, member, manager, colleague, owner):
    asked = request(desk, member, quorum_approve=2)
    approvals.decide(asked.pk, by=manager, decision=APPROVE)
    Membership.objects.filter(user=manager.user).update(role=Role.MEMBER)
    assert approvals.decide(asked.pk, by=colleague, decision=APPROVE).status == "pending"
    done = approvals.decide(asked.pk, by=owner, decision=APPROVE)
    assert done.status == "approved"


@pytest.mark.parametrize("lost", ["role", "membership", "account"])
def test_an_approval_holds_only_while_its_approvers_have_the_right(desk, member, manager, lost):
    done = approvals.decide(request(desk, member).pk, by=manager, decision=APPROVE)
    assert approvals.still_holds(done)
    match lost:
        case "role":
            Membership.objects.filter(user=manager.user).update(role=Role.AUDITOR)
        case "membership":
            Membership.objects.filter(user=manager.user).delete()
        case "account":
            type(manager.user).objects.filter(pk=manager.user.pk).update(is_active=False)
    assert not approvals.still_holds(done)


def test_who_left_the_workspace_has_no_vote_though_they_are_named(desk, workspace, member):
    named, grouped = person(workspace, "named"), person(workspace, "grouped")
    group = Group.objects.create(workspace=workspace, name="On call")
    group.members.add(grouped.user)
    for who in (named, grouped):
        asked = request(desk, member, roles=(), people=(named.user.pk,), groups=(group.pk,))
        done = approvals.decide(asked.pk, by=who, decision=APPROVE)
        assert approvals.still_holds(done)
        Membership.objects.filter(user=who.user).delete()
        assert not approvals.still_holds(done)


def test_an_approval_holds_for_its_time_and_a_person_may_renew_it(desk, member, manager):
    done = approvals.decide(request(desk, member).pk, by=manager, decision=APPROVE)
    Approval.objects.update(valid_until=Now() - timedelta(seconds=1))
    assert not approvals.still_holds(done)
    with pytest.raises(IsRequester):
        approvals.renew(done.pk, by=member)
    assert approvals.renew(done.pk, by=manager)
    assert approvals.still_holds(done)
    rejected = approvals.decide(request(desk, member).pk, by=manager, decision=REJECT, reason="No.")
    assert not approvals.renew(rejected.pk, by=manager)
    assert not approvals.still_holds(rejected)


def test_rights_that_ended_since_the_request_came_in_are_looked_at_again(desk, member, manager):
    asked = request(desk, member)
    Membership.objects.filter(user=manager.user).update(role=Role.MEMBER)  # the actor in hand says manager still
    with pytest.raises(NotAnApprover):
        approvals.decide(asked.pk, by=manager, decision=APPROVE)
    assert untouched(asked)


def test_an_admin_may_decide_alone_in_an_emergency_where_that_is_allowed(desk, owner, manager):
    asked = request(desk, owner, quorum_approve=2)
    how = {"by": owner, "decision": APPROVE, "break_glass": True, "reason": "The site is down."}
    with pytest.raises(BreakGlassOff):
        approvals.decide(asked.pk, fresh=True, **how)
    type(owner.workspace).objects.update(break_glass=True)
    with pytest.raises(FreshPasswordRequired):
        approvals.decide(asked.pk, **how)
    with pytest.raises(Invalid, match="reason"):
        approvals.decide(asked.pk, fresh=True, **{**how, "reason": " "})
    with pytest.raises(NotAnApprover):
        approvals.decide(asked.pk, fresh=True, **{**how, "by": manager})
    with pytest.raises(BreakGlassByKey):
        approvals.decide(asked.pk, fresh=True, **{**how, "by": with_key(owner, "approvals")})
    with pytest.raises(Invalid):
        approvals.decide(asked.pk, fresh=True, **{**how, "decision": REJECT})
    assert untouched(asked)
    done = approvals.decide(asked.pk, fresh=True, **how)
    assert (done.status, done.break_glass, done.decided_by) == ("approved", True, owner.user)
    assert events(asked)[-2:] == ["break_glass", "approved"]
    told = OutboxItem.objects.filter(topic="email", type="approval.decided")
    assert list(told.values_list("target", flat=True)) == [manager.user.email]
    assert approvals.still_holds(done)
    Membership.objects.filter(user=owner.user).update(role=Role.MANAGER)
    assert not approvals.still_holds(done)


def test_those_who_are_asked_are_told_and_the_person_behind_it_is_not(desk, manager, colleague, owner, auditor, member):
    request(desk, manager)
    told = OutboxItem.objects.filter(topic="email", type="approval.requested").values_list("target", flat=True)
    assert sorted(told) == sorted([colleague.user.email, owner.user.email])


def test_what_may_be_done_is_said_beforehand(desk, member, manager, colleague, auditor):
    asked = request(desk, member, quorum_approve=2)
    said = {who.user.name: approvals.may_decide(asked, who) for who in (member, manager, auditor)}
    assert said == {"Member": "requester", "Manager": None, "Auditor": "role_required"}
    approvals.decide(asked.pk, by=manager, decision=APPROVE)
    assert approvals.may_decide(asked, manager) == "already_voted"
    done = approvals.decide(asked.pk, by=colleague, decision=APPROVE)
    assert approvals.may_decide(done, colleague) == "already_decided"
