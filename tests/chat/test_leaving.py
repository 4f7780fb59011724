"""What is under way for a person who is erased: what has begun is waited for, all else is refused and told."""

import pytest

from approvals.models import Approval, ApprovalStatus, AuditEvent
from approvals.services import audit
from chat.models import ActionState, Conversation, Run, RunState
from chat.services import leaving
from chat.services.execution import settle
from chat.services.leaving import StillWorking
from tests.chat.acting import DONE, RESTART, STATUS, of, states, take
from tests.chat.acting import approve as decide

pytestmark = pytest.mark.django_db


@pytest.fixture
def elsewhere(step):
    """Puts calls through the gate in a conversation that stays, as those of visitors do; gives the run."""

    def propose(*calls: tuple[str, dict | None]) -> Run:
        run = step(*calls)
        Conversation.objects.filter(pk=run.conversation_id).update(external=True)
        return run

    return propose


def refusals(run: Run) -> int:
    """How many the log tells of; what it told of each went with the person."""
    targets = [str(action.pk) for action in of(run)]
    return AuditEvent.objects.filter(type="action.refused", target_id__in=targets).count()


def test_what_has_not_begun_is_refused_and_told_and_its_run_goes_on(elsewhere, member):
    run = elsewhere(STATUS, RESTART)
    [allowed, waiting] = of(run)
    assert [allowed.state, waiting.state] == [ActionState.ALLOWED, ActionState.WAITING]
    leaving.erase(member.user, by=audit.SYSTEM)
    assert states(run) == [ActionState.REFUSED] * 2
    assert refusals(run) == 2
    assert Approval.objects.get().status == ApprovalStatus.CANCELLED
    run.refresh_from_db()
    assert (run.state, run.resumed) == (RunState.QUEUED, True)


def test_what_a_worker_has_taken_is_not_called_refused(elsewhere, member, manager):
    run = elsewhere(RESTART)
    [waiting] = of(run)
    decide(waiting, manager)
    [execution] = take()
    with pytest.raises(StillWorking):
        leaving.erase(member.user, by=audit.SYSTEM)
    assert states(run) == [ActionState.EXECUTING]
    assert refusals(run) == 0
    settle(execution, DONE)
    leaving.erase(member.user, by=audit.SYSTEM)
    assert states(run) == [ActionState.SUCCEEDED]


def test_what_was_taken_between_two_looks_stays_what_it_is(elsewhere, member, manager, monkeypatch):
    """A worker that takes an action after the person's were listed is heard of by its outcome alone."""
    run = elsewhere(RESTART)
    [waiting] = of(run)
    decide(waiting, manager)
    withdraw = leaving._withdraw

    def late(*given) -> None:
        take()
        withdraw(*given)

    monkeypatch.setattr(leaving, "_withdraw", late)
    with pytest.raises(StillWorking):
        leaving.erase(member.user, by=audit.SYSTEM)
    assert states(run) == [ActionState.EXECUTING]
