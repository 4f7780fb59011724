"""Wiring of the agents app."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """The agents app."""

    name = "agents"

    def ready(self) -> None:
        """Register the system checks."""
        from agents import checks  # noqa: F401, PLC0415  models must be there before it is imported
