"""Deleting memories whose time is over: their own (`expires_at`), or that of their layer in this installation.

They go with what they superseded. Nothing is noted against their coming back: they were not forgotten, only kept for a
time; and what was said stays where it was said.
"""

import datetime
from collections.abc import Collection
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from approvals.services import audit
from companions.models import Layer
from core.ledger import SYSTEM
from memory.models import Entry, Kind, Owner, Reading, Source

AT_ONCE = 1_000  # rows of one statement


def sweep() -> int:
    """Delete what is due, each owner's in a transaction of its own with one event; gives how many entries went."""
    return sum(_of(owner) for owner in Owner.objects.filter(pk__in=Entry.objects.filter(_due()).values("owner")))


@transaction.atomic
def _of(owner: Owner) -> int:
    Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)
    due = owner.entries.filter(_due())
    gone = 0
    while ids := list(due.values_list("pk", flat=True)[:AT_ONCE]):
        while ids:
            older = list(Entry.objects.filter(superseded_by__in=ids).values_list("pk", flat=True))
            gone += Entry.objects.filter(pk__in=ids).delete()[1].get(Entry._meta.label, 0)
            ids = older
    if gone:
        audit.record(
            audit.Entry(
                type="memory.expired",
                workspace_id=owner.workspace_id,
                who=SYSTEM,
                target=("person", owner.user_id),
                data={"entries": gone},
            )
        )
    return gone


def drop_said(conversations: Collection[UUID]) -> None:
    """Delete what is kept word for word of conversations that go because their own time is over.

    To be called in the transaction that deletes them, whose event tells of it.
    """
    Entry.objects.filter(conversation_id__in=conversations, kind=Kind.MESSAGE).delete()
    Source.objects.filter(conversation_id__in=conversations).delete()
    Reading.objects.filter(conversation_id__in=conversations).delete()


def _due() -> Q:
    """Entries past their own time; of a layer with a time of its own those that were said, or changed, before that."""
    due = Q(expires_at__lte=Now())
    for layer, days in settings.MEMORY_RETENTION_DAYS.items():
        if days:
            since = "said_at" if layer == Layer.HISTORY else "updated_at"
            due |= Q(layer=layer, **{f"{since}__lt": Now() - datetime.timedelta(days=days)})
    return due
