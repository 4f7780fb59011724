"""Chainable filters over the rows of accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

# mypy's Django plugin reads this module before its imports, for AUTH_USER_MODEL, hence the ignored names.
if TYPE_CHECKING:
    from accounts.models import Actor


class WorkspaceQuerySet(models.QuerySet["Workspace"]):  # type: ignore[name-defined]
    """Workspaces."""

    def visible_to(self, actor: Actor) -> WorkspaceQuerySet:
        """The one workspace that the caller acts in."""
        return self.filter(pk=actor.workspace.pk)


class MembershipQuerySet(models.QuerySet["Membership"]):  # type: ignore[name-defined]
    """Memberships."""

    def visible_to(self, actor: Actor) -> MembershipQuerySet:
        """The members of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):  # type: ignore[name-defined]
    """API keys."""

    def visible_to(self, actor: Actor) -> ApiKeyQuerySet:
        """The caller's own keys; an admin sees the workspace's."""
        keys = self.filter(workspace=actor.workspace)
        return keys if actor.may() else keys.filter(user=actor.user)
