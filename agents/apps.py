"""Wiring of the agents app."""

from typing import Any
from uuid import UUID

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from approvals import directory


class AgentsConfig(AppConfig):
    """The agents app."""

    name = "agents"

    def ready(self) -> None:
        """Register the system checks and the tools of every app, and keep the scheduler to what agents say."""
        from agents import checks  # noqa: F401, PLC0415  models must be there before it is imported
        from agents.services import schedules  # noqa: PLC0415  likewise

        schedules.connect()
        directory.register(_id_of)
        directory.register_names(directory.AGENT, _called)

        autodiscover_modules("tools")


def _id_of(workspace_id: UUID, slug: str) -> UUID | None:
    """The id of a workspace's agent."""
    from agents.models import Agent  # noqa: PLC0415  models must be there before it is imported

    return Agent.objects.filter(workspace=workspace_id, slug=slug).values_list("pk", flat=True).first()


def _called() -> Any:
    """The agents, by what people call them."""
    from agents.models import Agent  # noqa: PLC0415  models must be there before it is imported

    return directory.called(Agent.objects.all(), "slug")
