"""Workers by queue: each does the work of the queues that it was started with, and leaves the rest to others."""

import threading

import pytest
from django.conf import settings

from chat import bells, engine
from chat.models import Action, ActionState, Run, RunState
from chat.services import conversations
from core import valkey
from tests.chat.engines import ends, read, working
from tests.servers.openai_server import wait_until
from tests.servers.threads import bridged

pytestmark = pytest.mark.django_db(transaction=True)
STATUS = '[[rehearse: call=service_status {"service": "web"}]]'


def test_a_call_is_done_by_a_worker_for_actions_and_told_of_by_one_for_runs(say, devops, member, monkeypatch):
    run = say(STATUS, into=conversations.new(devops, by=member))
    with bridged(), working(monkeypatch, ["runs"]) as one:
        wait_until(lambda: Action.objects.filter(run=run, state=ActionState.READY).exists())
        wait_until(lambda: valkey.client().llen("actions"))  # whoever does them is rung for, after the commit
        one.ring_actions()
        one.ring()
        wait_until(lambda: Run.objects.get(pk=run.pk).state != RunState.QUEUED)
        assert Action.objects.get(run=run).attempt == 0

    with bridged(), working(monkeypatch, ["actions"]) as one:
        one.ring_actions()
        wait_until(lambda: Action.objects.get(run=run).state == ActionState.SUCCEEDED)
        assert not one.runners
    run.refresh_from_db()
    assert run.state == RunState.QUEUED

    with bridged(), working(monkeypatch, ["runs"]) as one:
        assert ends(read(one, run))
    run.refresh_from_db()
    assert run.state == RunState.COMPLETED


def test_a_worker_beats_whatever_it_serves(monkeypatch, settings, tmp_path):
    settings.HEARTBEAT_FILE, settings.RUN_SWEEP_SECONDS = str(tmp_path / "heartbeat"), 0.1
    with bridged(), working(monkeypatch, ["outbox"]):
        wait_until((tmp_path / "heartbeat").exists)


def test_a_worker_whose_database_hangs_beats_on(monkeypatch, settings, tmp_path):
    beat, asked, goes_on = tmp_path / "heartbeat", threading.Event(), threading.Event()
    settings.HEARTBEAT_FILE, settings.RUN_SWEEP_SECONDS = str(beat), 0.1
    monkeypatch.setattr(engine.approvals, "escalate_due", lambda: (asked.set(), goes_on.wait(30)))
    with bridged(), working(monkeypatch, ["upkeep"]):
        assert asked.wait(10)
        before = beat.stat().st_mtime_ns
        wait_until(lambda: beat.stat().st_mtime_ns > before)
        goes_on.set()


def test_a_heartbeat_that_cannot_be_told_stops_nothing(monkeypatch, settings, tmp_path, caplog):
    settings.HEARTBEAT_FILE, settings.RUN_SWEEP_SECONDS = str(tmp_path / "missing" / "heartbeat"), 0.1
    with bridged(), working(monkeypatch, ["outbox"]):
        wait_until(lambda: caplog.text.count("cannot tell that it lives") > 1)


def test_every_doorbell_goes_to_a_queue_that_there_is():
    routes = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    assert routes | {settings.CELERY_TASK_DEFAULT_QUEUE} == set(settings.QUEUES)
    assert bells.ACTIONS in settings.CELERY_TASK_ROUTES
