"""Doorbells: a task carries a row's id and wakes this process's engine, which takes every row that is ready.

The bell of the outbox hangs here too, because the engine delivers. The two at the end are the scheduler's, and do their
work themselves.
"""

from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings

from chat.engine import engine
from chat.services import background, housekeeping
from core import process


@shared_task(name="chat.execute_run", ignore_result=True)
def execute_run(run_id: str) -> None:
    """A run is ready."""
    engine().ring()


@shared_task(name="chat.execute_action", ignore_result=True)
def execute_action(action_id: str) -> None:
    """An action is ready."""
    engine().ring_actions()


@shared_task(name="approvals.deliver", ignore_result=True)
def deliver(item_id: str) -> None:
    """There is something to tell outside."""
    engine().ring_outbox()


@shared_task(name="chat.wake_agent", ignore_result=True)
def wake_agent(agent_id: str) -> None:
    """An agent's time has come; one that is busy, off or gone is left alone."""
    background.on_schedule(UUID(agent_id))


@shared_task(name="chat.housekeep", ignore_result=True)
def housekeep() -> None:
    """The hour has come: drop what is kept for a time only."""
    housekeeping.run()


@worker_ready.connect
def start_engine(sender: Any, **_: Any) -> None:
    """A worker that hears no bell still sweeps, for the queues that it was started with."""
    process.settle()
    engine(sender.app.amqp.queues.consume_from)


@worker_shutting_down.connect
def drain_engine(**_: Any) -> None:
    """A worker that stops gives its runs time to end, then gives them back."""
    engine().drain(settings.DRAIN_SECONDS)
