"""Chainable filters over the rows of chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models.functions import Now

from accounts.models import Role

if TYPE_CHECKING:
    from accounts.models import Actor
    from chat.models import Action, Attachment, Conversation, Message, Run


class ConversationQuerySet(models.QuerySet["Conversation"]):
    """Conversations."""

    def visible_to(self, actor: Actor) -> ConversationQuerySet:
        """The caller's own conversations, in the workspace that they act in; none that is below another."""
        return self.filter(workspace=actor.workspace, user=actor.user, parent=None)


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages."""

    def visible_to(self, actor: Actor) -> MessageQuerySet:
        """The messages of the caller's own conversations."""
        return self.filter(workspace=actor.workspace, conversation__user=actor.user)


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    """Images of messages."""

    def visible_to(self, actor: Actor) -> AttachmentQuerySet:
        """Those of the caller's own conversations."""
        return self.filter(workspace=actor.workspace, conversation__user=actor.user)


class RunQuerySet(models.QuerySet["Run"]):
    """Runs."""

    def visible_to(self, actor: Actor) -> RunQuerySet:
        """The runs of the caller's own conversations."""
        return self.filter(workspace=actor.workspace, conversation__user=actor.user)

    def ready(self) -> RunQuerySet:
        """Runs that wait for a worker, due by now; `services/leases.py` claims the same."""
        return self.filter(state="queued", active=True, not_before__lte=Now())


class ActionQuerySet(models.QuerySet["Action"]):
    """Actions."""

    def visible_to(self, actor: Actor) -> ActionQuerySet:
        """The workspace's for managers, auditors and admins; members see what was done on their behalf."""
        rows = self.filter(workspace=actor.workspace)
        return rows if actor.may(Role.MANAGER, Role.AUDITOR) else rows.filter(person=actor.user)
