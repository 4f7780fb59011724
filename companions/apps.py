"""Wiring of the companions app."""

from typing import Any

from django.apps import AppConfig

from approvals import directory


class CompanionsConfig(AppConfig):
    """The companions app."""

    name = "companions"

    def ready(self) -> None:
        """Say what companions are called."""
        directory.register_names(directory.COMPANION, _called)


def _called() -> Any:
    """The companions, by what people call them."""
    from companions.models import Companion  # noqa: PLC0415  models must be there before it is imported

    return directory.called(Companion.objects.all(), "type")
