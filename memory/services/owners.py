"""Whose memory it is: owners, made where they are needed; and pausing."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.models import Actor
from approvals.services import audit
from companions.models import Companion
from core import prepared
from memory.models import Owner
from memory.querysets import OwnerQuerySet

_HOLD = """SELECT FROM memory_owner WHERE workspace_id = %(workspace)s AND user_id = %(user)s
    AND (companion_id IS NULL OR companion_id = %(companion)s) ORDER BY id FOR SHARE"""


def of(actor: Actor, companion: Companion | None) -> Owner:
    """The caller's memory with a companion, or what they share with all; made if there is none."""
    return made(actor.workspace.pk, actor.user.pk, companion.pk if companion else None)


def made(workspace_id: UUID, user_id: UUID, companion_id: UUID | None) -> Owner:
    """The owner that these are, made if there is none."""
    names = {"workspace_id": workspace_id, "user_id": user_id, "companion_id": companion_id}
    found: Owner | None = Owner.objects.filter(**names).first()
    if found is not None:
        return found
    try:
        with transaction.atomic():
            owner: Owner = Owner.objects.create(**names)
            return owner
    except IntegrityError:  # somebody was quicker
        quicker: Owner = Owner.objects.get(**names)
        return quicker


def of_person(workspace_id: UUID, user_id: UUID | None, companion_id: UUID | None) -> OwnerQuerySet:
    """What a companion may recall of a person: what is theirs with it, and what they share with all."""
    rows: OwnerQuerySet = Owner.objects.filter(
        Q(companion=None) | Q(companion=companion_id), workspace=workspace_id, user=user_id
    )
    return rows.select_related("user", "companion").order_by("pk")


def hold(workspace_id: UUID, user_id: UUID | None, companion_id: UUID | None) -> None:
    """Let nothing of these be forgotten, changed or paused until the transaction ends; others may read and hold."""
    prepared.execute(_HOLD, {"workspace": workspace_id, "user": user_id, "companion": companion_id})


def is_paused(owner: Owner) -> bool:
    """Whether the person paused this memory, or all of theirs, as it stands now."""
    return of_person(owner.workspace_id, owner.user_id, owner.companion_id).filter(paused=True).exists()


@transaction.atomic
def pause(owner: Owner, paused: bool, *, by: Actor) -> Owner:
    """Keep nothing new and recall nothing, or go on; of what is shared it says so for every companion."""
    if Owner.objects.filter(pk=owner.pk).exclude(paused=paused).update(paused=paused):
        audit.record(
            audit.Entry(
                type="memory.paused" if paused else "memory.unpaused",
                workspace_id=owner.workspace_id,
                who=audit.person(by),
                target=("companion", owner.companion_id) if owner.companion_id else None,
            )
        )
    owner.paused = paused
    return owner
