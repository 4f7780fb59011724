"""What the tests of actions share: the actions of a run, their approval, and a worker that takes them."""

from approvals.models import Approval, Decision
from approvals.services import approvals
from chat.models import Action, Run
from chat.services import execution
from chat.services.execution import Outcome

DONE = Outcome(True, "restarted", "restarted")


def of(run: Run) -> list[Action]:
    return list(Action.objects.filter(run=run).order_by("place"))


def states(run: Run) -> list[str]:
    return [action.state for action in of(run)]


def approve(action: Action, by, **more) -> Approval:
    return approvals.decide(action.approval_id, by=by, decision=Decision.APPROVE, **more)


def take() -> list[execution.Execution]:
    taken, _ = execution.claim("test", limit=10)
    return taken


RESTART = ("service_restart", {"service": "web"})
STATUS = ("service_status", {})
