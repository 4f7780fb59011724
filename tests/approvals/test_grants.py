"""Approvals that are remembered: for the same call in the same conversation, for a time and a count, and no longer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from accounts.models import Membership, Role
from approvals.calls import Behind
from approvals.models import Approval, AuditEvent, Decision, Effect, Grant, Policy
from approvals.services import approvals, grants, policies
from approvals.services.approvals import Remember
from approvals.services.grants import RememberNotAllowed, UnknownGrant
from approvals.services.rights import NotAnApprover
from core import ids
from core.errors import Invalid
from tests.approvals.desk import call, events, request
from tests.cast import person

APPROVE, REJECT = Decision.APPROVE, Decision.REJECT
EVERY_RESTART = {"service": "billing", "force": False}


@pytest.fixture
def remembering(workspace, owner):
    """The workspace's policy lets approvals of restarts be remembered."""
    return rule(owner)


def rule(by, **changes: Any) -> Policy:
    """The policy that asks managers about restarts and lets their approvals be remembered, or what it is changed to."""
    policy = Policy.objects.filter(name="Restarts").first() or Policy(
        workspace=by.workspace, name="Restarts", tool="service_restart", may_remember=True
    )
    for name, value in changes.items():
        setattr(policy, name, value)
    policies.save(policy, by=by)
    return policy


def remembered(desk, member, manager, remember: Remember | None = None, **changes: Any) -> Approval:
    """An approval that its approver wants remembered."""
    changes = {"may_remember": True, "call": {"arguments": EVERY_RESTART}, **changes}
    asked = request(desk, member, **changes)
    return approvals.decide(asked.pk, by=manager, decision=APPROVE, remember=remember or Remember())


def same(approval: Approval, member, **changes: Any):
    """The same call again, save what is changed."""
    given = {"session_id": approval.session_id, "arguments": approval.arguments, **changes}
    return call(approval.workspace, member, **given)


def use(wanted, version: str = "v1", behind: Behind = Behind()) -> Grant | None:  # noqa: B008  it is frozen
    with transaction.atomic():
        return approvals.use_grant(wanted, version, behind)


def test_the_same_call_in_the_same_conversation_is_covered(desk, member, manager, remembering):
    done = remembered(desk, member, manager, Remember(minutes=5, count=2))
    grant = Grant.objects.get()
    assert (grant.uses_left, grant.author, grant.arguments) == (2, manager.user, EVERY_RESTART)
    assert timedelta(minutes=4) < grant.expires_at - grant.created_at <= timedelta(minutes=5)
    assert events(done) == ["requested", "approved", "remembered"]
    assert use(same(done, member)) == grant
    assert use(same(done, member)) == grant
    assert use(same(done, member)) is None, "it was for two"
    assert list(AuditEvent.objects.filter(target_id=grant.pk).values_list("type", flat=True)) == ["grant.used"] * 2


def test_any_other_call_is_not_covered(desk, member, manager, remembering):
    done = remembered(desk, member, manager)
    for other in (
        {"arguments": {**EVERY_RESTART, "service": "mail"}},
        {"arguments": {**EVERY_RESTART, "force": 0}},
        {"arguments": {**EVERY_RESTART, "more": 1}},
        {"arguments": {"service": "billing"}},
        {"session_id": ids.new()},
        {"session_id": None},
        {"tool": "service_stop"},
    ):
        assert use(same(done, member, **other)) is None, other
    assert use(same(done, member), version="v2") is None
    assert use(same(done, member)) is not None


def test_arguments_that_were_not_named_are_free(desk, member, manager, remembering):
    done = remembered(desk, member, manager, Remember(arguments=("service",)))
    assert use(same(done, member, arguments={"service": "billing", "force": True})) is not None
    assert use(same(done, member, arguments={"service": "billing"})) is not None
    assert use(same(done, member, arguments={"service": "mail", "force": False})) is None
    assert use(same(done, member, arguments={"force": False})) is None


def test_it_ends_with_its_time(desk, member, manager, remembering):
    done = remembered(desk, member, manager)
    Grant.objects.update(expires_at=Now() - timedelta(seconds=1))
    assert use(same(done, member)) is None


def test_it_ends_when_its_author_loses_the_right(desk, member, manager, remembering):
    done = remembered(desk, member, manager)
    Membership.objects.filter(user=manager.user).update(role=Role.AUDITOR)
    assert use(same(done, member)) is None
    Membership.objects.filter(user=manager.user).update(role=Role.MANAGER)
    assert use(same(done, member)) is not None


@pytest.mark.parametrize("how", ["asked", "wrote"])
def test_it_covers_nothing_that_its_author_stands_behind_by_then(desk, workspace, member, manager, remembering, how):
    done = remembered(desk, member, manager)
    grant, other = Grant.objects.get(), person(workspace, "other", Role.MANAGER)
    theirs = Behind(**{how: frozenset({manager.user.pk})})
    assert use(same(done, member), behind=theirs) is None
    assert use(same(done, member), behind=Behind(**{how: frozenset({other.user.pk})})) == grant
    assert not grants.still_holds(grant.pk, same(done, member), theirs)
    Membership.objects.filter(user=manager.user).update(role=Role.ADMIN)
    assert grants.still_holds(grant.pk, same(done, member), theirs) is (how == "wrote"), "admins who only wrote may"


@pytest.mark.parametrize("changes", [{"may_remember": False}, {"quorum_approve": 2}, {"effect": Effect.DENY}], ids=str)
def test_it_ends_when_the_policy_would_not_let_it_be_remembered_now(desk, member, manager, owner, remembering, changes):
    done = remembered(desk, member, manager)
    rule(owner, **changes)
    assert use(same(done, member)) is None
    assert Grant.objects.get().uses_left == 10


def test_a_manager_ends_it_and_nobody_less(desk, member, manager, auditor, stranger, remembering):
    done = remembered(desk, member, manager)
    grant = Grant.objects.get()
    for who, error in ((member, UnknownGrant), (stranger, UnknownGrant), (auditor, NotAnApprover)):
        with pytest.raises(error):
            grants.revoke(grant.pk, by=who)
    assert grants.revoke(grant.pk, by=manager)
    assert not grants.revoke(grant.pk, by=manager)
    assert use(same(done, member)) is None
    assert AuditEvent.objects.filter(type="grant.revoked", target_id=grant.pk).count() == 1


def test_nothing_is_remembered_unless_the_policy_permits_it(desk, member, manager):
    asked = request(desk, member)
    with pytest.raises(RememberNotAllowed):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, remember=Remember())
    assert not Grant.objects.exists()
    assert approvals.decide(asked.pk, by=manager, decision=APPROVE).status == "approved"


@pytest.mark.parametrize(
    ("remember", "changes"),
    [
        (Remember(minutes=0), {}),
        (Remember(minutes=1441), {}),
        (Remember(count=0), {}),
        (Remember(count=101), {}),
        (Remember(arguments=("unknown",)), {}),
        (Remember(arguments=()), {}),
        (Remember(), {"quorum_approve": 2}),
        (Remember(), {"call": {"session_id": None}}),
    ],
)
def test_what_cannot_be_remembered_so_is_refused(desk, member, manager, remember, changes):
    asked = request(desk, member, may_remember=True, **changes)
    with pytest.raises(Invalid, match="remember"):
        approvals.decide(asked.pk, by=manager, decision=APPROVE, remember=remember)
    with pytest.raises(Invalid, match="remember"):
        approvals.decide(asked.pk, by=manager, decision=REJECT, reason="No.", remember=remember)
    assert not Grant.objects.exists()


def test_what_is_remembered_is_what_was_approved_after_the_edit(desk, member, manager, remembering):
    asked = request(desk, member, may_remember=True)
    done = approvals.decide(asked.pk, by=manager, decision=APPROVE, arguments={"service": "mail"}, remember=Remember())
    assert use(same(done, member, arguments={"service": "billing"})) is None
    assert use(same(done, member, arguments={"service": "mail"})) is not None


@pytest.mark.django_db(transaction=True)
def test_at_once_it_is_used_as_often_as_it_may(desk, member, manager, remembering):
    done = remembered(desk, member, manager, Remember(count=3))
    barrier = threading.Barrier(8)

    def one(_: int) -> bool:
        barrier.wait()
        try:
            return use(same(done, member)) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(8))) == 3
    assert Grant.objects.get().uses_left == 0
    assert AuditEvent.objects.filter(type="grant.used").count() == 3
