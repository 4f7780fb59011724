"""Whose memory it is: owners, made where they are needed; and pausing."""

from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.models import Actor
from approvals.services import audit
from companions.models import Companion
from memory.models import Owner


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
