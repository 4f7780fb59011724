"""Chainable filters over the rows of chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import KeyKind, Role

if TYPE_CHECKING:
    from accounts.models import Actor
    from chat.models import Action, Attachment, Conversation, Folder, Message, Run


def own(actor: Actor, of: str = "") -> Q:
    """The caller's own conversations; `of` is the way to them from the rows that are asked for.

    A publishable key, which anybody has who sees its page, has nothing of the person that it acts for: its own are
    those that it began and nobody vouched for, and with a visitor whom a server vouches for theirs.
    """
    key = actor.key
    if key is None or key.kind != KeyKind.PUBLISHABLE:
        return Q((f"{of}user", actor.user), (f"{of}external", False))
    begun = Q((f"{of}key_line", key.line), (f"{of}vouched", False))
    theirs = Q((f"{of}external_user", actor.visitor), (f"{of}vouched", True))
    return begun | theirs if actor.visitor else begun


def chats(actor: Actor, of: str = "") -> Q:
    """The caller's own conversations, and for a secret key all that were begun in the workspace as chats of keys."""
    if actor.key is not None and actor.key.kind == KeyKind.SECRET:
        return own(actor, of) | Q((f"{of}key_line__isnull", False))
    return own(actor, of)


class ConversationQuerySet(models.QuerySet["Conversation"]):
    """Conversations."""

    def visible_to(self, actor: Actor) -> ConversationQuerySet:
        """The caller's own conversations, in the workspace that they act in; none that is below another."""
        return self.filter(own(actor), workspace=actor.workspace, parent=None)

    def chats_of(self, actor: Actor) -> ConversationQuerySet:
        """What the caller reaches as a chat: their own, and with a secret key the chats of the workspace."""
        return self.filter(chats(actor), workspace=actor.workspace, parent=None)


class FolderQuerySet(models.QuerySet["Folder"]):
    """Folders."""

    def visible_to(self, actor: Actor) -> FolderQuerySet:
        """The caller's own, in the workspace that they act in."""
        return self.filter(workspace=actor.workspace, user=actor.user)


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages."""

    def visible_to(self, actor: Actor) -> MessageQuerySet:
        """The messages of the caller's own conversations."""
        return self.filter(own(actor, "conversation__"), workspace=actor.workspace)


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    """Images of messages."""

    def visible_to(self, actor: Actor) -> AttachmentQuerySet:
        """Those of the caller's own conversations."""
        return self.filter(own(actor, "conversation__"), workspace=actor.workspace)


class RunQuerySet(models.QuerySet["Run"]):
    """Runs."""

    def visible_to(self, actor: Actor) -> RunQuerySet:
        """The runs of what the caller reaches as a chat."""
        return self.filter(chats(actor, "conversation__"), workspace=actor.workspace)

    def ready(self) -> RunQuerySet:
        """Runs that wait for a worker, due by now; `services/leases.py` claims the same."""
        return self.filter(state="queued", active=True, not_before__lte=Now())


class ActionQuerySet(models.QuerySet["Action"]):
    """Actions."""

    def visible_to(self, actor: Actor) -> ActionQuerySet:
        """The workspace's for managers, auditors and admins; members see what was done on their behalf."""
        rows = self.filter(workspace=actor.workspace)
        return rows if actor.may(Role.MANAGER, Role.AUDITOR) else rows.filter(person=actor.user)
