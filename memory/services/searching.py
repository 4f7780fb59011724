"""Searching a person's memories, as their panel and the admin do."""

from collections.abc import Sequence

from accounts.models import Actor
from companions.models import Companion, Layer
from memory import recall
from memory.models import Entry, Owner
from memory.recall import Recalled


def search(
    actor: Actor, text: str, *, companion: Companion | None = None, layer: str = "", most: int = recall.MOST
) -> list[Recalled]:
    """The caller's memories that answer the text, the best first, with their scores; live ones alone."""
    owners = Owner.objects.visible_to(actor)
    if companion is not None:
        owners = owners.filter(companion=companion)
    return of(list(owners.select_related("user", "companion")), text, layer=layer, most=most)


def of(owners: Sequence[Owner], text: str, *, layer: str = "", most: int = recall.MOST) -> list[Recalled]:
    """What these owners have that answers the text, paused or not: to look for something is not to be told it."""
    for one in owners:
        one.paused = False
    found = recall.recall(owners, text, limit=most, layers=[layer] if layer else list(Layer.values))
    whose = {one.pk: one for one in owners}
    for hit in found:
        hit.entry.owner = whose[hit.entry.owner_id]
    return found


def entries(found: Sequence[Recalled]) -> list[Entry]:
    """The memories alone."""
    return [one.entry for one in found]
