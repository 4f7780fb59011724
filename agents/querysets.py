"""Chainable filters over the rows of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from accounts.models import Actor
    from agents.models import Agent, AgentTeam, Provider, ProviderKey, Skill


class AgentQuerySet(models.QuerySet["Agent"]):
    """Agents."""

    def visible_to(self, actor: Actor) -> AgentQuerySet:
        """The agents of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class SkillQuerySet(models.QuerySet["Skill"]):
    """Skills."""

    def visible_to(self, actor: Actor) -> SkillQuerySet:
        """The skills of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class TeamQuerySet(models.QuerySet["AgentTeam"]):
    """Teams."""

    def visible_to(self, actor: Actor) -> TeamQuerySet:
        """The teams of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class ProviderQuerySet(models.QuerySet["Provider"]):
    """Providers."""

    def visible_to(self, actor: Actor) -> ProviderQuerySet:
        """The providers of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class ProviderKeyQuerySet(models.QuerySet["ProviderKey"]):
    """People's own keys."""

    def visible_to(self, actor: Actor) -> ProviderKeyQuerySet:
        """The caller's own."""
        return self.filter(workspace=actor.workspace, user=actor.user)
