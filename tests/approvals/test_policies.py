"""Policies: each change is a version, told to the log; what waits and is judged otherwise now is superseded."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Group, Role
from approvals import kinds
from approvals.models import Approval, ApprovalStatus, AuditEvent, Decision, Effect, Policy, PolicyVersion
from approvals.rules import Allow, Ask, Deny
from approvals.services import approvals, policies
from approvals.services.endings import AlreadyDecided
from approvals.services.policies import Draft, MayNotRule, PolicyNameTaken, UnknownPolicy
from core import ids
from core.errors import Invalid
from tests.approvals.desk import KIND, Desk, call, fresh, request, terms
from tests.approvals.ruling import made
from tests.cast import person

NOW = timezone.now()


def judged(workspace, **changes: Any):
    return policies.judge(call(workspace, **changes), policies.current(workspace.pk))


def test_before_the_first_rule_there_is_version_0(workspace):
    assert policies.current(workspace.pk) == policies.Rules(0)
    assert judged(workspace) == Ask()


def test_a_rule_holds_from_its_version_on_with_all_that_it_says(owner, workspace, manager):
    oncall = Group.objects.create(workspace=workspace, name="On call")
    second = Group.objects.create(workspace=workspace, name="Second")
    made(
        owner, tool="service_*", agent="dev*", companion="devops", risks=["write"], tiers=["self-hosted"],
        condition='args.service == "billing"', quorum_approve=2, quorum_reject=3, approver_roles=["admin"],
        groups=[oncall.pk], people=[manager.user.pk], escalate_after=timedelta(minutes=5), escalate_to=second,
        request_lasts=timedelta(hours=2), approval_lasts=timedelta(minutes=1), editable=False, fresh_password=True,
        digest_required=True, may_remember=True, most_per_run=3,
    )  # fmt: skip
    assert policies.current(workspace.pk).version == 1
    assert judged(workspace) == Ask(
        policy="Restarts", quorum_approve=2, quorum_reject=3, roles=("admin",), groups=(oncall.pk,),
        people=(manager.user.pk,), escalate_after=timedelta(minutes=5), escalate_to=second.pk,
        request_lasts=timedelta(hours=2), approval_lasts=timedelta(minutes=1), editable=False, fresh_password=True,
        digest_required=True, may_remember=True, most_per_run=3,
    )  # fmt: skip
    for other in ({"arguments": {"service": "mail"}}, {"agent": "guard"}, {"companion": ""}, {"risk": "external"}):
        assert judged(workspace, **other) == Ask(), other


def test_each_change_is_the_next_version_and_told_with_before_and_after(owner, workspace):
    policy = made(owner, effect=Effect.DENY)
    policy.effect, policy.covers_advisors = Effect.ALLOW, True
    policies.save(policy, by=owner)
    assert judged(workspace) == Allow(policy="Restarts", covers_advisors=True)
    policies.delete(policy, by=owner)
    assert judged(workspace) == Ask()
    versions = PolicyVersion.objects.filter(workspace=workspace).order_by("version")
    assert [(one.version, len(one.rules), one.author) for one in versions] == [
        (1, 1, owner.user), (2, 1, owner.user), (3, 0, owner.user),
    ]  # fmt: skip
    events = AuditEvent.objects.filter(target_id=policy.pk).order_by("id").select_related("payload")
    assert [event.type for event in events] == ["policy.changed", "policy.changed", "policy.deleted"]
    assert {event.actor_id for event in events} == {owner.user.pk}
    changed = events[1].payload.data
    assert '"before":{' in changed
    assert '"effect":"deny"' in changed
    assert '"after":{' in changed
    assert '"effect":"allow"' in changed
    assert '"version":2' in changed


def test_a_rule_that_is_off_or_has_ended_says_nothing(owner, workspace):
    policy = made(owner, effect=Effect.DENY, enabled=False)
    assert judged(workspace) == Ask()
    policy.enabled, policy.valid_until = True, NOW + timedelta(days=1)
    policies.save(policy, by=owner)
    assert isinstance(judged(workspace), Deny)
    policy.valid_until = NOW - timedelta(seconds=1)
    policies.save(policy, by=owner)
    assert judged(workspace) == Ask()


def test_whom_is_asked_stays_where_nothing_is_said_of_it(owner, workspace, manager):
    oncall = Group.objects.create(workspace=workspace, name="On call")
    policy = made(owner, groups=[oncall.pk], people=[manager.user.pk])
    policies.save(policy, by=owner)
    assert (judged(workspace).groups, judged(workspace).people) == ((oncall.pk,), (manager.user.pk,))
    policies.save(policy, groups=[], people=[], by=owner)
    assert (judged(workspace).groups, judged(workspace).people) == ((), ())
    assert not policy.approver_groups.exists()


def test_the_rules_of_now_cost_one_query(owner, workspace, django_assert_num_queries):
    made(owner, condition='args.service == "billing"')
    policies.current(workspace.pk)
    with django_assert_num_queries(1):
        assert judged(workspace).policy == "Restarts"


def test_a_version_that_was_rolled_back_leaves_nothing_behind(owner, workspace):
    class Enough(Exception):
        pass

    def change_of_mind() -> None:
        with transaction.atomic():
            made(owner, name="Never", effect=Effect.DENY)
            assert judged(workspace).policy == "Never"
            raise Enough

    with pytest.raises(Enough):
        change_of_mind()
    made(owner, name="Ever", effect=Effect.DENY)
    assert policies.current(workspace.pk).version == 1
    assert judged(workspace).policy == "Ever"


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MANAGER, Role.AUDITOR])
def test_only_an_admin_changes_rules(owner, workspace, role):
    policy, other = made(owner), person(workspace, "other", role)
    for change in (lambda: policies.save(policy, by=other), lambda: policies.delete(policy, by=other)):
        with pytest.raises(MayNotRule):
            change()
    assert policies.current(workspace.pk).version == 1


def test_a_rule_of_another_workspace_is_none(owner, workspace, other_workspace):
    admin = person(other_workspace, "theirs", Role.ADMIN)
    theirs = made(admin, effect=Effect.DENY)
    taken_over = Policy.objects.get(pk=theirs.pk)
    taken_over.workspace = workspace
    for policy in (theirs, taken_over):
        with pytest.raises(UnknownPolicy):
            policies.save(policy, by=owner)
        with pytest.raises(UnknownPolicy):
            policies.delete(policy, by=owner)
    with pytest.raises(UnknownPolicy):
        policies.save(Policy(workspace=other_workspace, name="Smuggled", effect=Effect.ALLOW), by=owner)
    assert Policy.objects.get().workspace == other_workspace
    assert judged(workspace) == Ask()


def test_a_rule_that_is_gone_is_unknown(owner):
    policy = made(owner)
    policies.delete(policy, by=owner)
    for late in (lambda: policies.delete(policy, by=owner), lambda: policies.save(policy, by=owner)):
        with pytest.raises(UnknownPolicy):
            late()


def test_two_rules_have_two_names(owner):
    made(owner)
    with pytest.raises(PolicyNameTaken):
        made(owner)
    assert Policy.objects.count() == 1


BAD: list[tuple[str, dict[str, Any]]] = [
    ("name", {"name": ""}), ("name", {"name": "x" * 201}), ("name", {"name": "a\nb"}), ("tool", {"tool": ""}),
    ("tool", {"tool": "x" * 201}), ("effect", {"effect": "maybe"}), ("effect", {"effect": ""}),
    ("risks", {"risks": ["huge"]}),
    ("risks", {"risks": "read"}), ("risks", {"risks": [1]}), ("risks", {"risks": None}), ("tiers", {"tiers": ["gold"]}),
    ("approver_roles", {"approver_roles": ["king"]}), ("approver_roles", {"approver_roles": []}),
    ("quorum_approve", {"quorum_approve": 0}), ("quorum_reject", {"quorum_reject": 21}),
    ("quorum_approve", {"quorum_approve": "many"}), ("priority", {"priority": -1}), ("priority", {"priority": 70_000}),
    ("most_per_run", {"most_per_run": 0}), ("request_lasts", {"request_lasts": timedelta(0)}),
    ("request_lasts", {"request_lasts": timedelta(days=91)}), ("approval_lasts", {"approval_lasts": None}),
    ("approval_lasts", {"approval_lasts": "soon"}), ("enabled", {"enabled": "perhaps"}),
    ("condition", {"condition": None}),
    ("condition", {"condition": "args.amount >"}), ("condition", {"condition": "nothing == 1"}),
    ("escalate_to", {"escalate_after": timedelta(hours=1)}), ("escalate_to", {"escalate_to_id": UUID(int=1)}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "fields"), BAD, ids=str)
def test_a_rule_that_could_not_hold_is_refused_by_name(owner, workspace, field, fields):
    with pytest.raises(Invalid) as refusal:
        made(owner, **fields)
    assert refusal.value.errors[0].field == field, refusal.value.detail
    assert not Policy.objects.exists()
    assert not PolicyVersion.objects.exists()


def test_who_is_asked_belongs_to_the_workspace(owner, workspace, other_workspace, stranger):
    foreign, own = (Group.objects.create(workspace=one, name="On call") for one in (other_workspace, workspace))
    late = {"escalate_after": timedelta(hours=1)}
    for fields in ({"groups": [foreign.pk]}, {"people": [stranger.user.pk]}, {"escalate_to": foreign, **late}):
        with pytest.raises(Invalid):
            made(owner, **fields)
    with pytest.raises(Invalid):
        made(owner, escalate_to=own, escalate_after=timedelta(hours=24))
    made(owner, groups=[own.pk], approver_roles=[], escalate_to=own, **late)


def test_a_workspace_has_no_end_of_rules(owner, monkeypatch):
    monkeypatch.setattr(policies, "MOST_RULES", 2)
    made(owner, "One")
    made(owner, "Two")
    with pytest.raises(Invalid):
        made(owner, "Three")


def test_several_changes_are_one_version_or_none(owner, workspace):
    old = made(owner, "Old")
    new, bad = (Policy(workspace=workspace, name=name) for name in ("New", "Bad"))
    bad.quorum_approve = 0
    with pytest.raises(Invalid):
        policies.apply([Draft(policy=old, remove=True), Draft(policy=new), Draft(policy=bad)], by=owner)
    assert [rule.name for rule in policies.current(workspace.pk).rules] == ["Old"]
    drafts = [Draft(policy=old, remove=True), Draft(policy=Policy(workspace=workspace, name="New"))]
    assert [rule.name for rule in policies.drafted(workspace.pk, drafts).rules] == ["New"]
    assert [rule.name for rule in policies.current(workspace.pk).rules] == ["Old"], "a draft is no change"
    policies.apply(drafts, by=owner)
    assert [rule.name for rule in policies.current(workspace.pk).rules] == ["New"]
    assert policies.current(workspace.pk).version == 2


@pytest.mark.django_db(transaction=True)
def test_changes_at_once_are_versions_one_after_the_other(owner, workspace):
    ready = threading.Barrier(8)

    def change(number: int) -> None:
        try:
            ready.wait()
            made(owner, f"Rule {number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(8)))
    versions = PolicyVersion.objects.order_by("version").values_list("version", "rules")
    assert [version for version, _ in versions] == list(range(1, 9))
    assert [len(rules) for _, rules in versions] == list(range(1, 9)), "each holds all before it"


@pytest.fixture
def waiting(desk, owner, member):
    """A request that a rule asks for."""
    made(owner, "Restarts")
    return request(desk, member, policy="Restarts")


@pytest.mark.parametrize(
    "change",
    [
        {"effect": Effect.DENY},
        {"effect": Effect.ALLOW},
        {"quorum_approve": 2},
        {"approver_roles": ["admin"]},
        {"request_lasts": timedelta(hours=1)},
        {"editable": False},
        {"fresh_password": True},
    ],
)
def test_a_request_that_is_judged_otherwise_now_is_superseded(
    desk, owner, waiting, change, django_capture_on_commit_callbacks
):
    policy = Policy.objects.get()
    for name, value in change.items():
        setattr(policy, name, value)
    with django_capture_on_commit_callbacks(execute=True):
        policies.save(policy, by=owner)
        assert fresh(waiting).status == ApprovalStatus.PENDING, "it is judged by what is committed"
    assert fresh(waiting).status == ApprovalStatus.SUPERSEDED
    assert desk.heard == [(waiting.pk, "superseded")]


@pytest.mark.parametrize(
    "change", [{"tool": "service_restart"}, {"priority": 7}, {"description": "Other words"}, {"name": "Renamed"}]
)
def test_a_request_that_is_judged_as_before_stays(desk, owner, waiting, change, django_capture_on_commit_callbacks):
    policy = Policy.objects.get()
    for name, value in change.items():
        setattr(policy, name, value)
    with django_capture_on_commit_callbacks(execute=True):
        policies.save(policy, by=owner)
        made(owner, "Unlock", tool="door_unlock", effect=Effect.DENY)
    assert fresh(waiting).status == ApprovalStatus.PENDING


def test_a_rule_that_goes_supersedes_what_it_asked_for_otherwise_than_the_default(
    desk, owner, member, django_capture_on_commit_callbacks
):
    policy = made(owner, quorum_approve=2)
    two, one = request(desk, member, quorum_approve=2), request(desk, member)
    with django_capture_on_commit_callbacks(execute=True):
        policies.delete(policy, by=owner)
    assert (fresh(two).status, fresh(one).status) == (ApprovalStatus.SUPERSEDED, ApprovalStatus.PENDING)


def test_requests_of_others_and_decided_ones_stay(
    desk, owner, member, manager, stranger, django_capture_on_commit_callbacks
):
    theirs, done, own = request(desk, stranger), request(desk, member), request(desk, member)
    approvals.decide(done.pk, by=manager, decision=Decision.APPROVE)
    with django_capture_on_commit_callbacks(execute=True):
        made(owner, effect=Effect.DENY)
    assert [fresh(one).status for one in (theirs, done, own)] == ["pending", "approved", "superseded"]


def test_an_agent_alone_can_be_judged_again(desk, owner, member):
    agent = ids.new()
    of_agent, of_another = (
        request(desk, member, quorum_approve=2, call={"agent_id": one}) for one in (agent, ids.new())
    )
    PolicyVersion.objects.all().delete()
    assert policies.rejudge(owner.workspace.pk, agent_id=agent) == 1
    assert (fresh(of_agent).status, fresh(of_another).status) == ("superseded", "pending")
    assert policies.rejudge(owner.workspace.pk) == 1
    assert not Approval.objects.pending().exists()


def test_when_a_rule_ends_by_itself_what_it_asked_for_is_judged_anew(desk, owner, member, manager):
    rule = made(owner, quorum_approve=2, valid_until=timezone.now() + timedelta(hours=1))
    waiting, swept = (request(desk, member, policy=rule.name, quorum_approve=2) for _ in range(2))
    assert policies.rejudge_ended(within=timedelta(seconds=10)) == 0
    past = timezone.now() - timedelta(seconds=1)
    [version] = PolicyVersion.objects.filter(workspace=owner.workspace)
    rules = [{**row, "valid_until": past.isoformat()} for row in version.rules]
    PolicyVersion.objects.all().delete()
    PolicyVersion.objects.create(workspace=owner.workspace, version=version.version, rules=rules)
    Policy.objects.update(valid_until=past)
    with pytest.raises(AlreadyDecided):
        approvals.decide(waiting.pk, by=manager, decision=Decision.APPROVE)
    assert (fresh(waiting).status, fresh(swept).status) == ("superseded", "pending")
    assert policies.rejudge_ended(within=timedelta(seconds=10)) == 1
    assert fresh(swept).status == "superseded"


def test_what_is_edited_in_that_moment_so_that_it_is_asked_for_stays(owner, member):
    looked: list[Approval] = []

    class Edited(Desk):
        def call(self, approval):
            looked.append(approval)
            return call(approval.workspace, arguments={"service": "billing" if len(looked) == 1 else "mail"})

    made(owner, effect=Effect.DENY, condition='args.service == "billing"')
    kinds.register(KIND, desk := Edited())
    waiting = request(desk, member)
    assert policies.rejudge(owner.workspace.pk) == 0
    assert fresh(waiting).status == ApprovalStatus.PENDING
    assert policies.rejudge(owner.workspace.pk) == 0


@pytest.mark.django_db(transaction=True)
def test_a_decision_and_a_change_of_rules_at_once_end_in_one_state(desk, owner, member, manager):
    for _ in range(10):
        waiting, ready = request(desk, member), threading.Barrier(2)
        policy = Policy(workspace=owner.workspace, name=str(ids.new()), tool="service_restart", effect=Effect.DENY)

        def decide(approval_id=waiting.pk, ready=ready) -> str:
            try:
                ready.wait()
                return approvals.decide(approval_id, by=manager, decision=Decision.APPROVE).status
            except AlreadyDecided:
                return "late"
            finally:
                connection.close()

        def rule(policy=policy, ready=ready) -> None:
            try:
                ready.wait()
                policies.save(policy, by=owner)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            said, ruled = pool.submit(decide), pool.submit(rule)
            ruled.result()
            status = fresh(waiting).status
            assert status == {"approved": "approved", "late": "superseded"}[said.result()]
        heard = [status for pk, status in desk.heard if pk == waiting.pk]
        assert heard == [status]
        ends = AuditEvent.objects.filter(target_id=waiting.pk, type__in=["approval.approved", "approval.superseded"])
        assert ends.count() == 1
        policies.delete(policy, by=owner)


def test_terms_are_kept_as_the_desk_makes_them(workspace, owner):
    """The tests above would pass for want of equal terms otherwise."""
    made(owner)
    assert judged(workspace) == terms(policy="Restarts")
