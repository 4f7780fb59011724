"""Doorbells: a task carries a row's id and wakes this process's engine, which takes every row that is ready."""

from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings

from chat.engine import engine
from chat.services import housekeeping
from core import process


@shared_task(name="chat.execute_run", ignore_result=True)
def execute_run(run_id: str) -> None:
    """A run is ready."""
    engine().ring()


@shared_task(name="chat.housekeep", ignore_result=True)
def housekeep() -> None:
    """The hour has come: drop what is kept for a time only."""
    housekeeping.run()


@worker_ready.connect
def start_engine(**_: Any) -> None:
    """A worker that hears no bell still sweeps."""
    process.settle()
    engine()


@worker_shutting_down.connect
def drain_engine(**_: Any) -> None:
    """A worker that stops gives its runs time to end, then gives them back."""
    engine().drain(settings.DRAIN_SECONDS)
