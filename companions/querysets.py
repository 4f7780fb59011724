"""Chainable filters over companions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from accounts.models import Actor
    from companions.models import Companion


class CompanionQuerySet(models.QuerySet["Companion"]):
    """Companions."""

    def visible_to(self, actor: Actor) -> CompanionQuerySet:
        """The companions of the caller's workspace that are switched on."""
        return self.filter(workspace=actor.workspace, enabled=True)
