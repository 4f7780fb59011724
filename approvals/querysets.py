"""Chainable filters over the rows of approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models
from django.db.models.functions import Coalesce, Now

from accounts.models import Role
from approvals import directory

if TYPE_CHECKING:
    from accounts.models import Actor
    from approvals.models import Approval, AuditEvent

M = TypeVar("M", bound=models.Model, covariant=True)
READERS = (Role.MANAGER, Role.AUDITOR)


class OwnedQuerySet(models.QuerySet[M]):
    """Rows that belong to a workspace and are read by those who run it."""

    def visible_to(self, actor: Actor) -> OwnedQuerySet[M]:
        """The rows of the caller's workspace, for managers, auditors and admins."""
        return self.filter(workspace=actor.workspace) if actor.may(*READERS) else self.none()


class ApprovalQuerySet(models.QuerySet["Approval"]):
    """Requests to countersign."""

    def visible_to(self, actor: Actor) -> ApprovalQuerySet:
        """Those of the caller's workspace; members see what was requested on their behalf or is asked of them."""
        rows = self.filter(workspace=actor.workspace)
        return rows if actor.may(*READERS) else rows.filter(models.Q(requested_by=actor.user) | _asks(actor))

    def listed_for(self, actor: Actor) -> list[ApprovalQuerySet]:
        """What `visible_to` gives as queries that share no row, each of which an index serves in the order of lists.

        Of what is asked of a member, only what is pending: the rest is found by its id, and not worth a list.
        """
        rows = self.filter(workspace=actor.workspace)
        if actor.may(*READERS):
            return [rows]
        mine = models.Q(requested_by=actor.user)
        return [rows.filter(mine), rows.pending().filter(_asks(actor)).exclude(mine)]

    def named(self) -> ApprovalQuerySet:
        """With what people call the workspace, the agent and the companion; by slug those that there are no more."""
        names: dict[str, Any] = {
            "agent_name": Coalesce(directory.agent_of("agent_id"), "agent"),
            "companion_name": Coalesce(directory.companion_of("companion"), "companion"),
            "workspace_name": models.F("workspace__name"),
        }
        return self.annotate(**names)

    def pending(self) -> ApprovalQuerySet:
        """Those that nobody has decided."""
        return self.filter(status="pending")

    def overdue(self) -> ApprovalQuerySet:
        """Those whose time to decide is over by the database's clock, decided or not."""
        return self.filter(expires_at__lte=Now())

    def most_urgent_first(self) -> ApprovalQuerySet:
        """The gravest first, of them the one that ends soonest."""
        return self.order_by("-risk_rank", "expires_at", "id")


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """The audit log."""

    def visible_to(self, actor: Actor) -> AuditEventQuerySet:
        """The workspace's for managers, auditors and admins; members see what was done by them or for them."""
        rows = self.filter(workspace=actor.workspace)
        return rows if actor.may(*READERS) else rows.filter(person_id=actor.user.pk)

    def named(self) -> AuditEventQuerySet:
        """With what people call the agent that acted; null where none did, or it is no more."""
        return self.annotate(agent_name=directory.agent_of("actor_id"))


def _asks(actor: Actor) -> models.Q:
    """Requests whose policy asks this person: by name, by role, or by a group, be it the one asked second."""
    asked = models.Q(terms__people__contains=[str(actor.user.pk)]) | models.Q(terms__roles__contains=[actor.role.value])
    for group_id in actor.user.approver_groups.filter(workspace=actor.workspace).values_list("pk", flat=True):
        asked |= models.Q(terms__groups__contains=[str(group_id)]) | models.Q(terms__escalate_to=str(group_id))
    return asked
