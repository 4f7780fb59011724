"""A workspace's companions as every message looks them up: remembered for a moment, forgotten when changed here.

Asking the database each time was a quarter of what a request cost. Another process's change is seen within SECONDS.
"""

import time
from typing import Any
from uuid import UUID

from django.core.signals import setting_changed
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from accounts.models import Actor
from agents.models import Agent
from companions.models import Companion
from companions.services import UnknownCompanion

SECONDS = 3.0

_known: dict[UUID, tuple[float, dict[str, Companion]]] = {}


def find(actor: Actor, type_: str) -> Companion:
    """The caller's companion of this type, with its agent; raises UnknownCompanion."""
    found = _companions(actor).get(type_)
    if found is None:
        raise UnknownCompanion(f"There is no companion of type {type_[:60]!r} in this workspace.")
    return found


def first(actor: Actor) -> Companion:
    """The companion that answers where nobody named one: the workspace's oldest; raises UnknownCompanion."""
    for companion in _companions(actor).values():
        return companion
    raise UnknownCompanion("This workspace has no companion yet.")


def of_id(actor: Actor, companion_id: UUID) -> Companion | None:
    """The workspace's companion of this id, with its agent, as it is remembered; None where it is not."""
    return next((one for one in _companions(actor).values() if one.pk == companion_id), None)


def forget(**_: Any) -> None:
    """Ask the database again."""
    _known.clear()


def _companions(actor: Actor) -> dict[str, Companion]:
    now = time.monotonic()
    held = _known.get(actor.workspace.pk)
    if held is None or held[0] < now:
        rows = Companion.objects.visible_to(actor).select_related("agent").order_by("created_at", "id")
        held = _known[actor.workspace.pk] = (now + SECONDS, {row.type: row for row in rows})
    return held[1]


def _forget_now_and_on_commit(**_: Any) -> None:
    forget()
    transaction.on_commit(forget)


for model in (Companion, Agent):
    post_save.connect(_forget_now_and_on_commit, sender=model, dispatch_uid=f"directory forgets saved {model.__name__}")
    post_delete.connect(
        _forget_now_and_on_commit, sender=model, dispatch_uid=f"directory forgets gone {model.__name__}"
    )
setting_changed.connect(forget, dispatch_uid="directory forgets settings")
