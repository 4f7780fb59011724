"""The last gate: nothing runs where something changed between the verdict and the start."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from accounts.models import Membership, Role
from agents.models import Agent, ToolSetting
from agents.providers.base import ToolCall
from approvals.models import Approval, AuditEvent, Effect, Grant, Policy
from approvals.services import grants, policies
from approvals.services.approvals import Remember
from chat.models import Action, ActionState, Run, RunState
from chat.services import execution, leases, proposing
from companions.models import Companion
from tests.chat.acting import DONE, RESTART, STATUS, approve, of, take


def break_(name: str, run: Run, action: Action, workspace, manager, owner) -> None:  # noqa: C901  one case a line
    match name:
        case "the run was cancelled":
            Run.objects.filter(pk=run.pk).update(cancel_requested_at=Now())
        case "the run has ended":
            Run.objects.filter(pk=run.pk).update(state=RunState.FAILED, active=False)
        case "the tool is off":
            ToolSetting.objects.create(workspace=workspace, tool=action.tool, enabled=False)
        case "the agent is off":
            Agent.objects.filter(pk=action.agent_id).update(enabled=False)
        case "the workspace is frozen":
            type(workspace).objects.filter(pk=workspace.pk).update(frozen=True)
        case "the arguments were changed behind":
            Action.objects.filter(pk=action.pk).update(arguments={"service": "database"})
        case "the approval's digest was changed behind":
            Approval.objects.filter(pk=action.approval_id).update(digest="0" * 64)
        case "the tool changed its version":
            Action.objects.filter(pk=action.pk).update(tool_version="other")
        case "the approval's time is over":
            Approval.objects.filter(pk=action.approval_id).update(valid_until=Now() - timedelta(seconds=1))
        case "the voter lost the right":
            Membership.objects.filter(user=manager.user).update(role=Role.MEMBER)
        case "the voter left":
            Membership.objects.filter(user=manager.user).delete()
        case "the agent is an observer now":
            Agent.objects.filter(pk=action.agent_id).update(autonomy="observer")
        case "the agent has the tool no more":
            Agent.objects.filter(pk=action.agent_id).update(tools=["service_status"])
        case "the companion lets it through no more":
            Companion.objects.filter(workspace=workspace).update(tools_allowed=["service_status"])
        case "policy denies it now":
            policies.save(Policy(workspace=workspace, name="No", tool="service_*", effect=Effect.DENY), by=owner)
        case "policy wants two now":
            policies.save(Policy(workspace=workspace, name="Two", tool="service_*", quorum_approve=2), by=owner)


@pytest.mark.parametrize(
    "what",
    [
        "the run was cancelled",
        "the run has ended",
        "the tool is off",
        "the agent is off",
        "the workspace is frozen",
        "the arguments were changed behind",
        "the approval's digest was changed behind",
        "the tool changed its version",
        "the approval's time is over",
        "the voter lost the right",
        "the voter left",
        "the agent is an observer now",
        "the agent has the tool no more",
        "the companion lets it through no more",
        "policy denies it now",
        "policy wants two now",
    ],
)
def test_nothing_runs_where_a_precondition_fell_between_approval_and_start(step, manager, owner, workspace, what):
    run = step(RESTART)
    [action] = of(run)
    approve(action, manager)
    break_(what, run, action, workspace, manager, owner)
    assert take() == []
    action.refresh_from_db()
    assert action.state == ActionState.REFUSED
    assert AuditEvent.objects.filter(type="action.refused", target_id=action.pk).exists()


def test_what_the_companion_does_not_let_through_is_no_tool_of_the_run(step, devops):
    Companion.objects.filter(pk=devops.pk).update(tools_allowed=["service_status"])
    [restart, status] = of(step(RESTART, STATUS))
    assert (restart.state, restart.code) == (ActionState.REFUSED, "unknown_tool")
    assert status.state == ActionState.READY


@pytest.mark.parametrize(
    "what", ["nothing", "it was revoked", "its author lost the right", "it may not be any more", "others are asked"]
)
def test_what_was_remembered_holds_at_the_last_gate_too(step, devops, manager, owner, member, workspace, what):
    rule = Policy(workspace=workspace, name="Restarts", tool="service_restart", may_remember=True)
    policies.save(rule, by=owner)
    first = step(RESTART)
    given = approve(of(first)[0], manager, remember=Remember(count=5))
    [done] = take()
    execution.settle(done, DONE)
    [claim] = leases.claim("test", limit=1)
    again = ToolCall("call_2_1", *RESTART)
    parts = [{"type": "tool_call", "call_id": again.call_id, "name": again.name, "arguments": again.arguments}]
    proposing.propose(
        proposing.Step(
            run_id=claim.run_id, attempt=claim.attempt, number=2, seq=40, parts=parts, usage=None, calls=[again]
        )
    )
    [action] = Action.objects.filter(run=first, call_id="call_2_1")
    assert (action.state, action.approval_id) == (ActionState.READY, None), "the grant covers it"
    assert Grant.objects.get(approval=given).uses_left == 4
    match what:
        case "it was revoked":
            grants.revoke(action.grant_id, by=manager)
        case "its author lost the right":
            Membership.objects.filter(user=manager.user).update(role=Role.AUDITOR)
        case "it may not be any more":
            rule.may_remember = False
            policies.save(rule, by=owner)
        case "others are asked":
            rule.approver_roles = [Role.ADMIN]
            policies.save(rule, by=owner)
    taken = [one.action_id for one in take()]
    action.refresh_from_db()
    if what == "nothing":
        assert (taken, action.state) == ([action.pk], ActionState.EXECUTING)
    else:
        assert (taken, action.state) == ([], ActionState.REFUSED)
