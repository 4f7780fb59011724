"""Wiring of the memory app."""

from django.apps import AppConfig


class MemoryConfig(AppConfig):
    """The memory app."""

    name = "memory"

    def ready(self) -> None:
        """Register the system checks and the tools."""
        from memory import checks  # noqa: F401, PLC0415  settings must be there before it is imported
