"""What people and workers do to one conversation at the same instant: one order or the other, and never a deadlock."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from approvals.models import Decision
from approvals.services import approvals
from chat.models import Action, Conversation, Run
from chat.services import conversations, execution, leases, runs
from chat.services.execution import Outcome
from tests.crowd import crowd

TRIALS = 12
RESTART = ("service_restart", {"service": "web"})

pytestmark = pytest.mark.django_db(transaction=True)


def deadlocks() -> int:
    """How many the database has broken so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        ((count,),) = cursor.fetchall()
    return int(count)


def ways(run: Run, member, manager) -> dict[str, Callable[[], Any]]:
    """What may come between a request and its end."""
    [action] = Action.objects.filter(run=run)
    conversation = Conversation.objects.get(pk=run.conversation_id)

    def execute() -> None:
        taken, _ = execution.claim("race", limit=10)
        for one in taken:
            execution.settle(one, Outcome(True, "restarted", "restarted"))

    return {
        "approve": lambda: approvals.decide(action.approval_id, by=manager, decision=Decision.APPROVE).status,
        "delete": lambda: conversations.delete(conversation, by=member),
        "cancel": lambda: runs.cancel(run, by=member),
        "claim": lambda: leases.claim("race", limit=1),
        "execute": execute,
    }


PAIRS = [
    ("approve", "delete"),
    ("approve", "cancel"),
    ("cancel", "delete"),
    ("claim", "delete"),
    ("execute", "delete"),
    ("execute", "cancel"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=[" and ".join(pair) for pair in PAIRS])
def test_two_at_the_same_instant_never_wait_for_each_other(step, member, manager, one, other):
    before = deadlocks()
    with crowd(3) as at_once:
        for _ in range(TRIALS):
            end = ways(step(RESTART), member, manager)
            if one == "execute":
                end["approve"]()
            at_once([end[one], end[other], end["execute"]])
    assert deadlocks() == before
