"""What is told of the tables and of Valkey as they stand, and what it takes to read it."""

import asyncio
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from agents.events import TextDelta
from approvals.models import Approval, OutboxItem
from chat import eventlog
from chat.eventlog import Batch
from chat.models import Action, ActionState, Run, RunState
from chat.services import leases, runs
from config import gauges
from core import valkey
from tests.chat import acting
from tests.chat.conftest import REHEARSAL


@pytest.fixture
def stands(transactional_db):
    """Reads them anew: gives the value of a name and a label."""

    def read(name, label=""):
        values, _ = asyncio.run(gauges.read())
        return values[f"countersign_{name}"][label]

    return read


def test_an_empty_installation_tells_nothing_but_zeros(stands):
    values, counted = asyncio.run(gauges.read())
    assert set(values) == set(gauges.GAUGES)
    assert values.pop("countersign_up") == {"postgres": 1, "valkey": 1}
    for name, found in values.items():
        assert found == dict.fromkeys(gauges.GAUGES[name].values, 0), name


def test_runs_are_told_by_state_and_how_long_the_oldest_waits(stands, say, conversation, member):
    run = say("Hello", into=conversation)
    runs.start(conversation, text="And then?", by=member, choice=REHEARSAL, on_conflict="queue")
    Run.objects.filter(pk=run.pk).update(not_before=Now() - timedelta(minutes=3))
    assert (stands("runs", "queued"), stands("runs", "in_line")) == (1, 1)
    assert stands("oldest_ready_seconds", "run") == pytest.approx(180, abs=30)
    [claim] = leases.claim("test", limit=10)
    assert claim.waited == pytest.approx(180, abs=30)
    assert (stands("runs", "queued"), stands("runs", "running"), stands("runs", "in_line")) == (0, 1, 1)
    assert stands("oldest_ready_seconds", "run") == 0
    Run.objects.filter(pk=run.pk).update(state=RunState.QUEUED, not_before=Now() + timedelta(minutes=3))
    assert stands("oldest_ready_seconds", "run") == 0, "its time has not come"


def test_approvals_and_actions_are_told_with_the_age_of_the_oldest(stands, step, manager):
    run = step(acting.RESTART)
    [action] = acting.of(run)
    Approval.objects.update(created_at=F("created_at") - timedelta(hours=2))
    assert (stands("approvals_pending"), stands("runs", "waiting_approval")) == (1, 1)
    assert stands("oldest_approval_seconds") == pytest.approx(7_200, abs=30)
    acting.approve(action, manager)
    assert (stands("approvals_pending"), stands("oldest_approval_seconds")) == (0, 0)
    assert (stands("actions", "ready"), stands("oldest_ready_seconds", "action") < 60) == (1, True)
    acting.take()
    assert (stands("actions", "ready"), stands("actions", "executing")) == (0, 1)
    Action.objects.update(state=ActionState.UNKNOWN, started_at=Now() - timedelta(minutes=10))
    assert stands("actions", "unknown") == 1
    assert stands("oldest_unknown_action_seconds") == pytest.approx(600, abs=30)


def test_what_is_to_be_told_outside_counts_once_its_time_has_come(stands, workspace):
    for minutes in (-5, 5):
        OutboxItem.objects.create(
            workspace=workspace, topic="email", type="x", not_before=timezone.now() + timedelta(minutes=minutes)
        )
    OutboxItem.objects.create(workspace=workspace, topic="email", type="x", done_at=timezone.now())
    assert stands("outbox_due") == 1
    assert stands("oldest_ready_seconds", "outbox") == pytest.approx(300, abs=30)


def test_the_sealer_lags_by_the_age_of_the_oldest_event_without_a_place(stands, say):
    say()
    assert stands("audit_unsealed") > 0
    lag = stands("audit_seal_lag_seconds")
    assert 0 < lag < 60
    connection.cursor().execute("TRUNCATE approvals_auditunsealed")
    assert (stands("audit_unsealed"), stands("audit_seal_lag_seconds")) == (0, 0)


def test_the_event_log_lags_by_what_is_stored_and_not_in_it(stands, say):
    run = say()
    [claim] = leases.claim("test", limit=10)
    assert stands("event_log_lag_events") == 0, "nothing was said yet"
    Run.objects.filter(pk=run.pk).update(seq=claim.seq + 7)
    assert stands("event_log_lag_events") == 7, "its log has nothing"
    words = [TextDelta("a"), TextDelta("b")]
    eventlog.append(Batch(str(run.pk), str(run.conversation_id), claim.seq + 4, words))
    assert stands("event_log_lag_events") == 2
    eventlog.append(Batch(str(run.pk), str(run.conversation_id), claim.seq + 6, words * 2))
    assert stands("event_log_lag_events") == 0, "the log may know more than what is stored"


def test_doorbells_that_nobody_hears_are_told_by_queue(stands):
    valkey.client().rpush("actions", "a", "b")
    assert (stands("queue_depth", "actions"), stands("queue_depth", "runs")) == (2, 0)


def test_each_table_is_read_by_an_index_of_just_what_is_asked(transactional_db):
    """However long the tables are: a plan that may not read one whole finds an index for each."""
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        plans = ""
        for statement in (*gauges.STATEMENTS, gauges.UNDER_WAY):
            cursor.execute(f"EXPLAIN {statement}")
            plans += "\n".join(line for (line,) in cursor.fetchall()) + "\n"
        cursor.execute("RESET ALL")
    assert "Seq Scan" not in plans
    for index in (
        "one_active_run_per_conversation", "runs_ready", "runs_running", "actions_ready",
        "actions_executing", "actions_awaited", "actions_unknown", "outbox_open", "approvals_auditunsealed_pkey",
    ):  # fmt: skip
        assert index in plans
    assert "approvals_pending" in plans or "approvals_expiring" in plans
