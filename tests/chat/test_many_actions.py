"""Many actions at once: taken and stored together, each with its own verdict and its own outcome."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import ToolSetting
from approvals.models import AuditEvent, OutboxItem, WebhookEndpoint
from chat import executor
from chat.models import Action
from chat.services import actions, execution
from chat.services.execution import Outcome
from tests.chat.acting import DONE, RESTART, STATUS, approve, of, states, take

LOGS = ("service_logs", {"service": "web"})


def queries(work):
    with CaptureQueriesContext(connection) as seen:
        found = work()
    return len(seen), found


def test_what_is_looked_at_for_a_claim_is_looked_at_once_for_all_its_actions(step):
    step(STATUS)
    of_one, _ = queries(take)
    step(*[STATUS] * 10)
    of_ten, taken = queries(take)
    assert len(taken) == 10
    assert of_ten == of_one


def test_a_tool_that_is_switched_off_is_refused_among_others_that_run(step, workspace):
    run = step(STATUS, LOGS, STATUS)
    ToolSetting.objects.create(workspace=workspace, tool="service_logs", enabled=False)
    assert len(take()) == 2
    assert states(run) == ["executing", "refused", "executing"]
    assert of(run)[1].code == "tool_disabled"


def test_the_next_claim_looks_anew(step, workspace):
    run = step(STATUS, STATUS)
    assert len(execution.claim("w", limit=1)[0]) == 1
    ToolSetting.objects.create(workspace=workspace, tool="service_status", enabled=False)
    assert execution.claim("w", limit=1)[0] == []
    assert states(run) == ["executing", "refused"]


def test_outcomes_are_stored_together_each_as_it_is(step, workspace):
    WebhookEndpoint.objects.create(workspace=workspace, url="https://hooks.example.com/", secret="whsec_c2VjcmV0")
    run = step(STATUS, STATUS, STATUS)
    first, second, third = take()
    failed = Outcome(False, "it broke", "it broke", "tool_failed")
    stored = execution.settle_all([(third, DONE), (first, DONE), (second, failed)])
    assert stored == {one.action_id for one in (first, second, third)}
    assert states(run) == ["succeeded", "failed", "succeeded"]
    ended = AuditEvent.objects.filter(type__in=["action.succeeded", "action.failed"])
    assert set(ended.values_list("target_id", flat=True)) == stored
    told = OutboxItem.objects.filter(type="action.finished").values_list("payload__action_id", flat=True)
    assert set(told) == {str(action_id) for action_id in stored}


def test_one_that_comes_too_late_is_kept_beside_and_holds_up_no_other(step):
    run = step(STATUS, STATUS)
    first, second = take()
    execution.settle(first, DONE)
    late = Outcome(True, "too late", "too late")
    assert execution.settle_all([(first, late), (second, DONE)]) == {second.action_id}
    assert states(run) == ["succeeded", "succeeded"]
    assert "too late" in of(run)[0].late_result


def test_an_outcome_that_cannot_be_stored_spoils_no_other(step):
    run = step(STATUS, STATUS, STATUS)
    first, second, third = take()
    broken = Outcome(True, "NUL \x00 is nothing that a database takes", "broken")
    done = executor.store([(first, DONE), (second, broken), (third, DONE)])
    assert done == [one.action_id for one in (first, second, third)]
    assert states(run) == ["succeeded", "executing", "succeeded"]


def test_how_calls_stand_is_told_in_the_models_order(step, manager):
    run = step(RESTART, STATUS)
    calls = list(Action.objects.filter(run=run).order_by("place").values_list("call_id", flat=True))
    assert [state for _, _, state in actions.states(run.pk, calls)] == ["waiting", "allowed"]
    approve(of(run)[0], manager)
    execution.settle_all([(one, DONE) for one in take()])
    assert actions.states(run.pk, calls[1:]) == [(calls[1], "service_status", "succeeded")]
    assert [part["ok"] for part in actions.parts_of_step(run.pk, calls)] == [True, True]
