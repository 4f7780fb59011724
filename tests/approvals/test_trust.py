"""Trust in figures: what counts as accepted, how soon people decide, and what an agent is offered for it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Role
from approvals.models import ApprovalStatus, AuditEvent, Decision, Effect, Policy
from approvals.rules import Allow, Ask
from approvals.services import policies, trust
from approvals.services.trust import MayNotPromote, NoOffer
from core import ids
from tests.approvals.desk import call
from tests.approvals.ruling import AGENT, decided, made
from tests.cast import person

REJECTED = {"status": ApprovalStatus.REJECTED, "decision": Decision.REJECT}
EDITED = {"proposed_arguments": {"service": "mail"}}
ANSWERED = {"decision": Decision.RESPOND}


def only(workspace) -> trust.Standing:
    (row,) = trust.table(workspace.pk)
    return row


def test_what_people_decided_is_counted_by_agent_and_tool(workspace, other_workspace):
    decided(workspace, 3, timedelta(seconds=10))
    decided(workspace, 1, timedelta(seconds=20), **EDITED)
    decided(workspace, 1, timedelta(seconds=30), **ANSWERED)
    decided(workspace, 2, timedelta(seconds=40), **REJECTED)
    decided(workspace, 1, tool="door_unlock")
    decided(other_workspace, 5)
    for status in ("expired", "cancelled", "superseded"):
        decided(workspace, 1, status=status, decision="")
    decided(workspace, 1, status="pending", decision="", decided_at=None)
    decided(workspace, 1, agent_id=None)
    restart, door = trust.table(workspace.pk)
    assert (restart.agent_id, restart.agent, restart.tool, restart.risk) == (
        AGENT,
        "devops",
        "service_restart",
        "write",
    )
    assert (restart.decided, restart.accepted, restart.edited, restart.median_seconds) == (7, 4, 1, 20.0)
    assert restart.rate == 4 / 7
    assert (door.tool, door.decided, door.rate) == ("door_unlock", 1, 1.0)


def test_what_was_long_ago_counts_no_more(workspace):
    decided(workspace, 1)
    decided(workspace, 1, id=ids.first_since(timezone.now() - timedelta(days=91)))
    assert only(workspace).decided == 1


def test_the_newest_decisions_count_where_there_are_too_many(workspace, monkeypatch):
    monkeypatch.setattr(trust, "MOST", 4)
    decided(workspace, 9, **REJECTED)
    decided(workspace, 3)
    assert (only(workspace).decided, only(workspace).accepted) == (4, 3)


@pytest.mark.parametrize(
    ("parts", "offered"),
    [
        ([(20, {})], True),
        ([(19, {})], False),
        ([(19, {}), (1, REJECTED)], True),
        ([(18, {}), (2, REJECTED)], False),
        ([(18, {}), (2, EDITED)], False),
        ([(18, {}), (2, ANSWERED)], False),
    ],
)
def test_an_offer_is_made_after_enough_decisions_that_accepted_what_was_proposed(workspace, parts, offered):
    for many, fields in parts:
        decided(workspace, many, **fields)
    assert only(workspace).offer is offered


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({"effect": Effect.ASK}, False),
        ({"effect": Effect.DENY, "tool": "service_*"}, False),
        ({"effect": Effect.ALLOW, "covers_advisors": True}, False),
        ({"effect": Effect.ALLOW}, True),
        ({"effect": Effect.ASK, "tool": "door_*"}, True),
        ({"effect": Effect.ASK, "risks": ["destructive"]}, True),
        ({"effect": Effect.ASK, "condition": "args.amount > 5"}, True),
        ({"effect": Effect.DENY, "enabled": False}, True),
    ],
)
def test_nothing_is_offered_where_a_rule_has_the_word(workspace, owner, fields, offered):
    decided(workspace, 20)
    made(owner, **fields)
    assert only(workspace).offer is offered


def test_an_offer_that_is_taken_is_a_narrow_rule_that_ends_by_itself(workspace, owner):
    decided(workspace, 20)
    policy = trust.accept_offer(workspace.pk, AGENT, "service_restart", by=owner)
    days = (policy.valid_until - timezone.now()) / timedelta(days=1)
    assert 29.9 < days <= 30
    held = policies.current(workspace.pk)
    trusted = call(workspace, autonomy="advisor", agent_id=AGENT)
    assert policies.judge(trusted, held) == Allow(policy=policy.name, covers_advisors=True)
    for other in ({"tool": "service_stop"}, {"agent": "guard"}, {"risk": "destructive"}):
        assert isinstance(policies.judge(call(workspace, autonomy="advisor", **other), held), Ask), other
    types = AuditEvent.objects.filter(workspace=workspace).order_by("id").values_list("type", "agent_id")
    assert list(types) == [("policy.changed", None), ("agent.promoted", AGENT)]
    with pytest.raises(NoOffer):
        trust.accept_offer(workspace.pk, AGENT, "service_restart", by=owner)


def test_once_the_rule_has_ended_it_is_offered_again_and_made_anew(workspace, owner):
    decided(workspace, 20)
    policy = trust.accept_offer(workspace.pk, AGENT, "service_restart", by=owner)
    policy.valid_until = timezone.now() - timedelta(seconds=1)
    policies.save(policy, by=owner)
    assert only(workspace).offer
    assert trust.accept_offer(workspace.pk, AGENT, "service_restart", by=owner).pk == policy.pk
    assert Policy.objects.count() == 1


def test_what_is_not_offered_cannot_be_taken(workspace, owner, other_workspace):
    decided(workspace, 19)
    decided(other_workspace, 20)
    for agent, tool in ((AGENT, "service_restart"), (AGENT, "door_unlock"), (ids.new(), "service_restart")):
        with pytest.raises(NoOffer):
            trust.accept_offer(workspace.pk, agent, tool, by=owner)
    with pytest.raises(MayNotPromote):
        trust.accept_offer(other_workspace.pk, AGENT, "service_restart", by=owner)
    for role in (Role.MEMBER, Role.MANAGER, Role.AUDITOR):
        with pytest.raises(MayNotPromote):
            trust.accept_offer(workspace.pk, AGENT, "service_restart", by=person(workspace, role.value, role))
    assert not Policy.objects.exists()


def test_where_nothing_was_decided_there_is_nothing_to_tell(workspace):
    assert trust.table(workspace.pk) == []
