"""Wiring of the whole: checks that need to see every app."""

from typing import Any

from celery import current_app
from django.apps import AppConfig
from django.core import checks
from django.utils.module_loading import autodiscover_modules

from core import queue


class ConfigConfig(AppConfig):
    """The project's own app: commands, and checks across apps."""

    name = "config"

    def ready(self) -> None:
        """Register the checks."""
        checks.register(every_doorbell_has_a_task)


def every_doorbell_has_a_task(**_: Any) -> list[checks.CheckMessage]:
    """Services ring tasks by name; a name that no task has would ring for ever unheard."""
    autodiscover_modules("tasks")
    return [
        checks.Error(f"No Celery task is named {name!r}, which a service rings.", id="config.E001")
        for name in sorted(queue.names() - set(current_app.tasks))
    ]
