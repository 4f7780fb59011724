"""Chainable filters over the rows of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from accounts.models import Actor
    from agents.models import Agent, Provider


class AgentQuerySet(models.QuerySet["Agent"]):
    """Agents."""

    def visible_to(self, actor: Actor) -> AgentQuerySet:
        """The agents of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class ProviderQuerySet(models.QuerySet["Provider"]):
    """Providers."""

    def visible_to(self, actor: Actor) -> ProviderQuerySet:
        """The providers of the caller's workspace."""
        return self.filter(workspace=actor.workspace)
