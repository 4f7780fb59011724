"""Wiring of the agents app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class AgentsConfig(AppConfig):
    """The agents app."""

    name = "agents"

    def ready(self) -> None:
        """Register the system checks and the tools of every app, and keep the scheduler to what agents say."""
        from agents import checks  # noqa: F401, PLC0415  models must be there before it is imported
        from agents.services import schedules  # noqa: PLC0415  likewise

        schedules.connect()

        autodiscover_modules("tools")
