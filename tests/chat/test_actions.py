"""Actions: what a step's calls become, the last gate before they run, and what came of them."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from accounts.models import Membership, Role
from agents.models import Agent
from agents.tools import registry
from approvals.models import Approval, AuditEvent, Decision, Effect, OutboxItem, Policy
from approvals.services import approvals, policies
from approvals.services.rights import NotAnApprover
from chat.models import Action, ActionState, RunState
from chat.services import actions, conversations, execution, leases, runs, verdicts
from chat.services.execution import Outcome
from tests.cast import person
from tests.chat.acting import DONE, RESTART, STATUS, approve, of, states, take


def test_what_only_reads_is_ready_at_once(step):
    run = step(STATUS)
    assert states(run) == ["ready"]
    assert run.state == RunState.RUNNING


def test_what_must_be_asked_waits_and_lets_go_of_the_run(step):
    run = step(RESTART)
    assert states(run) == ["waiting"]
    assert (run.state, run.lease_until, run.seq) == (RunState.WAITING_APPROVAL, None, 12)
    approval = Approval.objects.get(run_id=run.pk)
    assert approval.digest == of(run)[0].digest
    assert approval.arguments == {"service": "web"}


def test_no_call_of_a_step_runs_before_each_has_its_verdict(step, manager):
    run = step(STATUS, RESTART, RESTART)
    assert states(run) == ["allowed", "waiting", "waiting"]
    assert take() == []
    first, second = of(run)[1:]
    approve(first, manager)
    assert states(run) == ["allowed", "allowed", "waiting"]
    assert take() == []
    approvals.decide(second.approval_id, by=manager, decision=Decision.REJECT, reason="Once is enough")
    assert states(run) == ["ready", "ready", "refused"]
    assert [one.tool for one in take()] == ["service_status", "service_restart"]


def test_a_run_goes_on_after_the_last_verdict_where_it_stopped(step, manager):
    run = step(RESTART)
    approve(of(run)[0], manager)
    [claim] = leases.claim("other", limit=10)
    assert claim.run_id == run.pk
    assert (claim.resumed, claim.steps, claim.seq) == (True, 1, 13)
    assert [part["type"] for part in claim.parts] == ["tool_call"]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (("service_explode", {}), "unknown_tool"),
        (("device_list", {}), "unknown_tool"),
        (("service_restart", None), "malformed_arguments"),
        (("service_restart", {}), "invalid_arguments"),
        (("service_restart", {"service": "web", "force": True}), "invalid_arguments"),
        (("service_restart", {"service": "no such service"}), "invalid_arguments"),
    ],
)
def test_a_call_that_cannot_be_is_refused_and_says_why(step, call, code):
    run = step(call)
    [action] = of(run)
    assert (action.state, action.code) == ("refused", code)
    assert code in action.result
    assert run.state == RunState.RUNNING


def test_a_denied_call_is_refused_with_the_policys_name(step, owner, workspace):
    policies.save(
        Policy(workspace=workspace, name="Hands off", tool="service_*", risks=["destructive"], effect=Effect.DENY),
        by=owner,
    )
    [action] = of(step(RESTART))
    assert (action.state, action.code) == ("refused", "denied_by_policy")
    assert "Hands off" in action.result


def test_an_observer_records_and_runs_nothing(step, devops):
    Agent.objects.filter(pk=devops.agent_id).update(autonomy="observer")
    [action] = of(step(RESTART))
    assert (action.state, action.code) == ("refused", "observed")
    assert AuditEvent.objects.filter(type="action.observed", target_id=action.pk).exists()
    assert not Approval.objects.exists()


def test_one_run_asks_only_so_often(step, owner, workspace):
    policies.save(Policy(workspace=workspace, name="Ask", tool="service_restart", most_per_run=2), by=owner)
    assert states(step(RESTART, RESTART, RESTART)) == ["waiting", "waiting", "refused"]


def test_an_approved_action_is_taken_once(step, manager):
    run = step(RESTART)
    approve(of(run)[0], manager)
    [taken] = take()
    assert take() == []
    assert (taken.attempt, taken.context.key) == (1, str(of(run)[0].pk))
    assert execution.settle(taken, DONE)
    assert not execution.settle(taken, DONE)
    assert states(run) == ["succeeded"]


def lapse(action: Action) -> None:
    Action.objects.filter(pk=action.pk).update(lease_until=Now() - timedelta(seconds=1))
    execution.lapse()
    Action.objects.filter(pk=action.pk).update(not_before=Now() - timedelta(seconds=1))


def test_a_tool_that_honours_keys_is_run_again_with_the_same_key(step, manager):
    run = step(RESTART)
    approve(of(run)[0], manager)
    [first] = take()
    lapse(of(run)[0])
    [second] = take()
    assert (second.attempt, second.context.key) == (2, first.context.key)
    assert not execution.settle(first, Outcome(True, "too late", "too late")), "a worker that slept changes nothing"
    assert execution.settle(second, DONE)
    [action] = of(run)
    assert (action.state, action.result) == ("succeeded", "restarted")
    assert "too late" in action.late_result


@pytest.fixture
def unkeyed(step, manager, monkeypatch):
    """An action of a tool that honours no keys, whose worker died."""
    run = step(RESTART)
    [action] = of(run)
    approve(action, manager)
    Action.objects.filter(pk=action.pk).update(retry="unknown")
    take()
    lapse(action)
    action.refresh_from_db()
    return action


def test_what_honours_no_key_is_never_run_again_by_itself(unkeyed):
    assert unkeyed.state == ActionState.UNKNOWN
    assert take() == []


def test_a_person_says_that_it_was_done(unkeyed, manager):
    action = verdicts.resolve(unkeyed.pk, by=manager, resolution="done", note="I looked")
    assert action.state == ActionState.SUCCEEDED
    assert "I looked" in action.result
    with pytest.raises(verdicts.NotUnknown):
        verdicts.resolve(unkeyed.pk, by=manager, resolution="done")


def test_a_person_says_that_it_was_not_done_and_it_runs_again(unkeyed, manager):
    Approval.objects.update(valid_until=Now() - timedelta(days=1))
    verdicts.resolve(unkeyed.pk, by=manager, resolution="not_done")
    [again] = take()
    assert again.attempt == 2


def test_a_person_gives_it_up(unkeyed, manager):
    action = verdicts.resolve(unkeyed.pk, by=manager, resolution="abandoned")
    assert (action.state, action.code) == ("failed", "abandoned")


def test_who_looked_at_an_attempt_before_the_last_says_nothing_of_it(unkeyed, manager):
    verdicts.resolve(unkeyed.pk, by=manager, resolution="not_done", attempt=1)
    [again] = take()
    assert again.attempt == 2
    execution.settle(again, Outcome(False, "", "", "maybe_sent", "perhaps"))
    with pytest.raises(verdicts.TriedAgain):
        verdicts.resolve(unkeyed.pk, by=manager, resolution="not_done", attempt=1)
    assert Action.objects.get(pk=unkeyed.pk).state == ActionState.UNKNOWN


def test_who_may_not_approve_it_does_not_let_it_run_again(unkeyed, workspace, manager):
    other = person(workspace, "colleague", Role.MANAGER)
    approval = Approval.objects.get(pk=unkeyed.approval_id)
    approval.terms |= {"roles": [], "people": [str(manager.user.pk)]}
    approval.save()
    with pytest.raises(NotAnApprover):
        verdicts.resolve(unkeyed.pk, by=other, resolution="not_done")
    assert Action.objects.get(pk=unkeyed.pk).state == ActionState.UNKNOWN
    assert verdicts.resolve(unkeyed.pk, by=other, resolution="done").state == ActionState.SUCCEEDED


def test_neither_the_requester_nor_a_stranger_says_what_became_of_it(unkeyed, member, stranger):
    with pytest.raises(verdicts.MayNotResolve):
        verdicts.resolve(unkeyed.pk, by=member, resolution="done")
    Membership.objects.filter(user=member.user).update(role=Role.MANAGER)
    member.membership.refresh_from_db()
    with pytest.raises(verdicts.MayNotResolve):
        verdicts.resolve(unkeyed.pk, by=member, resolution="done")
    with pytest.raises(verdicts.UnknownAction):
        verdicts.resolve(unkeyed.pk, by=stranger, resolution="done")


@pytest.mark.parametrize(
    ("outcome", "retry", "state"),
    [
        (Outcome(False, "", "", "not_sent", "no"), "unknown", "ready"),
        (Outcome(False, "", "", "maybe_sent", "perhaps"), "unknown", "unknown"),
        (Outcome(False, "", "", "maybe_sent", "perhaps"), "keyed", "ready"),
        (Outcome(False, "", "", "maybe_sent", "perhaps"), "idempotent", "ready"),
        (Outcome(False, "", "", "tool_failed"), "keyed", "failed"),
    ],
)
def test_only_what_cannot_double_is_tried_again(step, manager, outcome, retry, state):
    run = step(RESTART)
    approve(of(run)[0], manager)
    Action.objects.update(retry=retry)
    [taken] = take()
    execution.settle(taken, outcome)
    assert states(run) == [state]


def test_an_attempt_that_did_nothing_says_nothing_of_the_one_before(step, manager):
    run = step(RESTART)
    [action] = of(run)
    approve(action, manager)
    take()
    lapse(action)
    [again] = take()
    execution.settle(again, Outcome(False, "", "", "tool_failed"))
    assert states(run) == ["unknown"]


def test_what_only_reads_fails_in_the_end_and_bothers_nobody(step, settings):
    settings.ACTION_MAX_ATTEMPTS = 1
    run = step(STATUS)
    [taken] = take()
    execution.settle(taken, Outcome(False, "", "", "maybe_sent", "perhaps"))
    assert states(run) == ["failed"]


def test_attempts_come_to_an_end(step, manager, settings):
    settings.ACTION_MAX_ATTEMPTS = 2
    run = step(RESTART)
    [action] = of(run)
    approve(action, manager)
    for _ in range(2):
        assert len(take()) == 1
        lapse(action)
    assert states(run) == ["unknown"]
    assert take() == []


def test_a_policy_that_changes_judges_anew_what_waits(step, owner, workspace, django_capture_on_commit_callbacks):
    run = step(RESTART)
    [action] = of(run)
    first = action.approval_id
    two = Policy(workspace=workspace, name="Two", tool="service_restart", quorum_approve=2)
    with django_capture_on_commit_callbacks(execute=True):
        policies.save(two, by=owner)
    [action] = of(run)
    assert Approval.objects.get(pk=first).status == "superseded"
    assert (action.state, action.approval_id != first) == ("waiting", True)
    assert Approval.objects.get(pk=action.approval_id).terms["quorum_approve"] == 2
    two.effect = Effect.DENY
    with django_capture_on_commit_callbacks(execute=True):
        policies.save(two, by=owner)
    assert states(run) == ["refused"]
    run.refresh_from_db()
    assert (run.state, run.resumed) == (RunState.QUEUED, True)


def test_what_was_edited_before_the_rules_changed_is_told_to_the_model(
    step, owner, manager, workspace, django_capture_on_commit_callbacks
):
    two = Policy(workspace=workspace, name="Two", tool="service_restart", quorum_approve=2)
    policies.save(two, by=owner)
    run = step(RESTART)
    assert approve(of(run)[0], manager, arguments={"service": "api"}).status == "pending"
    two.quorum_approve = 1
    with django_capture_on_commit_callbacks(execute=True):
        policies.save(two, by=owner)
    assert approve(of(run)[0], manager).proposed_arguments is None, "it is another request"
    [taken] = take()
    execution.settle(taken, DONE)
    told = actions.as_part(of(run)[0])["content"]
    assert told == 'An approver edited the arguments. What ran: {"service": "api"}\nrestarted'


def test_cancelling_a_run_that_waits_takes_everything_back(step, member, manager):
    run = step(STATUS, RESTART)
    runs.cancel(run, by=member)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    assert states(run) == ["refused", "refused"]
    assert Approval.objects.get(run_id=run.pk).status == "cancelled"


def test_an_action_outlives_its_conversation(step, manager, member):
    run = step(RESTART)
    approve(of(run)[0], manager)
    [taken] = take()
    conversations.delete(run.conversation, by=member)
    assert execution.settle(taken, DONE)
    action = Action.objects.get(pk=taken.action_id)
    assert (action.run_id, action.state) == (None, "succeeded")


def test_every_state_of_an_action_can_be_read_off_the_audit_log(step, manager):
    run = step(STATUS, RESTART)
    status, restart = of(run)
    approve(restart, manager)
    for taken in take():
        execution.settle(taken, DONE)
    told = {
        action.pk: list(AuditEvent.objects.filter(target_id=action.pk).order_by("id").values_list("type", flat=True))
        for action in (status, restart)
    }
    assert told[status.pk] == ["action.allowed", "action.ready", "action.started", "action.succeeded"]
    assert told[restart.pk] == [
        "action.waiting", "action.allowed", "action.ready", "action.started", "action.succeeded",
    ]  # fmt: skip


def test_a_preview_says_what_would_change(step):
    run = step(RESTART)
    assert "web" in Approval.objects.get(run_id=run.pk).preview["sentence"]
    assert registry.get("service_restart").risk == "destructive"
    assert actions.asked(run.pk)[0].tool == "service_restart"


def test_whose_call_it_was_and_the_channels_are_told_that_nobody_knows(unkeyed, member, workspace):
    told = OutboxItem.objects.get(type="action.unknown")
    assert (told.topic, told.target, told.payload["action_id"]) == ("email", member.user.email, str(unkeyed.pk))
    assert told.payload["workspace"] == workspace.name
