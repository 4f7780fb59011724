"""Chainable filters over the rows of accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from accounts.models import Actor, ApiKey, Budget, Group, Invitation, Membership, UsageEntry, Workspace


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    """Workspaces."""

    def visible_to(self, actor: Actor) -> WorkspaceQuerySet:
        """The one workspace that the caller acts in."""
        return self.filter(pk=actor.workspace.pk)


class MembershipQuerySet(models.QuerySet["Membership"]):
    """Memberships."""

    def visible_to(self, actor: Actor) -> MembershipQuerySet:
        """The members of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """API keys."""

    def visible_to(self, actor: Actor) -> ApiKeyQuerySet:
        """The caller's own keys; an admin sees the workspace's."""
        keys = self.filter(workspace=actor.workspace)
        return keys if actor.may() else keys.filter(user=actor.user)


class GroupQuerySet(models.QuerySet["Group"]):
    """Groups of approvers."""

    def visible_to(self, actor: Actor) -> GroupQuerySet:
        """The groups of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Invitations."""

    def visible_to(self, actor: Actor) -> InvitationQuerySet:
        """The invitations to the caller's workspace."""
        return self.filter(workspace=actor.workspace)

    def open(self) -> InvitationQuerySet:
        """Those that were neither accepted nor revoked; their time may be over."""
        return self.filter(accepted_at=None, revoked_at=None)


class BudgetQuerySet(models.QuerySet["Budget"]):
    """Budgets."""

    def visible_to(self, actor: Actor) -> BudgetQuerySet:
        """The budgets of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class UsageQuerySet(models.QuerySet["UsageEntry"]):
    """What was used of models."""

    def visible_to(self, actor: Actor) -> UsageQuerySet:
        """What the caller used by themselves."""
        return self.filter(workspace=actor.workspace, user=actor.user)
