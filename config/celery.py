"""The Celery application: it carries doorbells, nothing else."""

import os
from importlib import import_module
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("countersign")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.celeryd_init.connect
def report_worker(**_: Any) -> None:
    """A worker's faults are told where somebody wants to know."""
    import_module("config.reporting").start("worker")


@signals.beat_init.connect
def report_scheduler(**_: Any) -> None:
    """So are the scheduler's."""
    import_module("config.reporting").start("scheduler")
