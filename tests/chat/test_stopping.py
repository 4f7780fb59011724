"""A run that is asked to stop while it is about to wait: it ends as cancelled, and nobody waits for ever."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.db.models.functions import Now

from agents.events import RunCancelled
from agents.models import Connection, ConnectionKind
from agents.providers.base import ToolCall
from approvals.models import Approval, AuditEvent
from chat.models import Action, ActionState, Run, RunState
from chat.services import actions, conversations, leases, proposing, runs
from tests.chat.acting import RESTART, states
from tests.chat.attempting import attempt
from tests.chat.engines import read, working
from tests.crowd import crowd
from tests.servers import inventory
from tests.servers.threads import bridged

TRIALS = 25
CALL = '[[rehearse: call=service_restart {"service": "web"}]]'


class Looked(list):
    """The requests of an inventory; with the one that a preview makes comes what happens meanwhile."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = lambda: None

    def append(self, request: dict) -> None:
        super().append(request)
        if request["path"] == "/v1/services/web":
            meanwhile, self.meanwhile = self.meanwhile, lambda: None
            meanwhile()


@pytest.fixture
def looked(transactional_db, tmp_path, devops):
    """What the inventory of the workspace is asked."""
    with inventory.running(tmp_path / "effects.jsonl") as server:
        server.requests = Looked()
        Connection.objects.create(
            workspace=devops.workspace, kind=ConnectionKind.INVENTORY, base_url=server.base_url, token=server.token
        )
        yield server.requests


@pytest.fixture
def asking(say, devops, member):
    """A run whose one call is asked about."""
    return say(CALL, into=conversations.new(devops, by=member))


def cancel(run: Run, by) -> None:
    """As the web does it, on a connection of its own."""
    try:
        runs.cancel(Run.objects.get(pk=run.pk), by=by)
    finally:
        connection.close()


def ended(run: Run) -> None:
    run.refresh_from_db()
    assert (run.state, run.active) == (RunState.CANCELLED, False)
    assert not Approval.objects.exists()
    assert states(run) == []
    assert AuditEvent.objects.filter(type="run.cancel_requested").count() == 1
    assert not AuditEvent.objects.filter(type__in=["run.waiting", "approval.requested"]).exists()


def test_a_run_that_is_stopped_while_its_call_is_looked_at_does_not_wait(looked, asking, member):
    """Its worker did not hear that it is to stop: what the row says is enough."""
    looked.meanwhile = lambda: cancel(asking, member)
    with bridged():
        outcome = attempt()
    assert outcome is not None
    assert outcome.state == RunState.CANCELLED
    ended(asking)


def test_a_worker_that_hears_of_it_meanwhile_ends_the_run_too(looked, asking, member, monkeypatch):
    looked.meanwhile = lambda: cancel(asking, member)
    with bridged(), working(monkeypatch) as one:
        heard = read(one, asking)
        assert isinstance(heard[-1][1], RunCancelled), heard[-1]
        assert "approval_requested" not in str(heard)
    ended(asking)


def test_a_run_that_nobody_stops_waits(looked, asking):
    with bridged():
        assert attempt() is None
    asking.refresh_from_db()
    assert (asking.state, states(asking)) == (RunState.WAITING_APPROVAL, ["waiting"])


def test_at_the_same_instant_the_run_ends_or_is_its_workers_to_end(transactional_db, say, devops, member):
    ways = set()
    with crowd(2) as at_once:
        for _ in range(TRIALS):
            run = say("Do it", into=conversations.new(devops, by=member))
            [claim] = leases.claim("test", limit=10)
            step = proposing.Step(
                run_id=run.pk, attempt=claim.attempt, number=1, seq=10, parts=[], usage=None,
                calls=[ToolCall("call_1", *RESTART)],
            )  # fmt: skip

            def propose(step=step) -> str:
                try:
                    return "held" if proposing.propose(step) else "lost"
                except actions.Stopping:
                    return "to end"

            held, _ = at_once([propose, lambda run=run: runs.cancel(run, by=member)])
            run.refresh_from_db()
            ways.add((held, run.state))
            assert not Approval.objects.pending().filter(run_id=run.pk).exists()
    assert ways <= {("held", RunState.CANCELLED), ("to end", RunState.RUNNING)}


@pytest.fixture
def unknown(step):
    """A run in a worker's hands, of which it is not known what became of a call, and which is to stop."""
    run = step(("service_status", {}))
    Action.objects.filter(run=run).update(state=ActionState.UNKNOWN)
    return run


def test_a_run_that_is_to_stop_waits_for_no_word_on_an_unknown_outcome(unknown, member):
    runs.cancel(unknown, by=member)
    with pytest.raises(actions.Stopping):
        proposing.hold_for_people(unknown.pk, unknown.attempt, 20, [])
    unknown.refresh_from_db()
    assert (unknown.state, unknown.seq) == (RunState.RUNNING, 10)


def test_one_that_is_not_waits_for_it(unknown):
    assert proposing.hold_for_people(unknown.pk, unknown.attempt, 20, [])
    unknown.refresh_from_db()
    assert unknown.state == RunState.WAITING_APPROVAL


def test_a_run_that_waits_and_was_to_stop_is_ended_by_the_sweep(step):
    run, other = step(RESTART), step(RESTART)
    Run.objects.filter(pk=run.pk).update(cancel_requested_at=Now())
    runs.stop_below()
    run.refresh_from_db()
    other.refresh_from_db()
    assert (run.state, states(run)) == (RunState.CANCELLED, ["refused"])
    assert (other.state, states(other)) == (RunState.WAITING_APPROVAL, ["waiting"])
    assert Approval.objects.pending().get().run_id == other.pk
