"""Chainable filters over what is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

if TYPE_CHECKING:
    from accounts.models import Actor
    from memory.models import Entry, Owner


class OwnerQuerySet(models.QuerySet["Owner"]):
    """Owners of memories."""

    def visible_to(self, actor: Actor) -> OwnerQuerySet:
        """The caller's own, with each companion and shared, in the workspace that they act in."""
        return self.filter(workspace=actor.workspace, user=actor.user)


class EntryQuerySet(models.QuerySet["Entry"]):
    """Memories."""

    def visible_to(self, actor: Actor) -> EntryQuerySet:
        """What is kept of the caller, in the workspace that they act in."""
        return self.filter(owner__workspace=actor.workspace, owner__user=actor.user)

    def live(self) -> EntryQuerySet:
        """Those that count now: neither superseded nor waiting, and not past their time."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), status="active")

    def saying(self, text: str) -> EntryQuerySet:
        """Those in which each word of the text stands, in whichever case, be it within another."""
        return self.filter(*(Q(text__icontains=word) for word in set(text.split())))
