"""People's own keys: the providers that a person's messages go to with a key of theirs, and nobody else's.

Asked before every message. Who has a key at all is remembered for each workspace, so that who has none costs nothing;
what a person has is remembered for them alone.
"""

import time
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.core.signals import setting_changed
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from agents import environment
from agents.models import ProviderKey
from agents.providers.base import ProviderSpec

REMEMBERED_SECONDS = 3.0  # how long a change made by another process may go unseen
MOST = 10_000  # people who are remembered

_holders: dict[UUID, tuple[float, frozenset[UUID]]] = {}
_specs: dict[tuple[UUID, UUID], tuple[float, tuple[ProviderSpec, ...]]] = {}


def of(workspace_id: UUID, user_id: UUID | None) -> tuple[ProviderSpec, ...]:
    """The providers that the person has keys of their own for, in the order in which they are asked."""
    if user_id is None or user_id not in _having_keys(workspace_id):
        return ()
    now, who = time.monotonic(), (workspace_id, user_id)
    held = _specs.get(who)
    if held is None or held[0] < now:
        rows = ProviderKey.objects.filter(workspace_id=workspace_id, user_id=user_id)
        found = [environment.with_key(row.provider, row.api_key) for row in rows]
        own = sorted((replace(spec, own_key=True) for spec in found if spec), key=lambda s: (s.priority, s.name))
        if len(_specs) >= MOST:
            _specs.clear()
        held = _specs[who] = (now + REMEMBERED_SECONDS, tuple(own))
    return held[1]


def has(workspace_id: UUID, user_id: UUID | None, provider: str) -> bool:
    """Whether the person's messages go to the provider of this name with their own key."""
    return any(spec.name == provider for spec in of(workspace_id, user_id))


def forget() -> None:
    """Forget all that is remembered."""
    _holders.clear()
    _specs.clear()


def _having_keys(workspace_id: UUID) -> frozenset[UUID]:
    now = time.monotonic()
    held = _holders.get(workspace_id)
    if held is None or held[0] < now:
        people = ProviderKey.objects.filter(workspace_id=workspace_id).values_list("user_id", flat=True)
        held = _holders[workspace_id] = (now + REMEMBERED_SECONDS, frozenset(people))
    return held[1]


def _forget_person(sender: object, instance: ProviderKey, **_: Any) -> None:
    """Forget a person's now, for this transaction, and when it commits, for those who read meanwhile."""

    def drop() -> None:
        _holders.pop(instance.workspace_id, None)
        _specs.pop((instance.workspace_id, instance.user_id), None)

    drop()
    transaction.on_commit(drop)


def _forget_all(**_: Any) -> None:
    """Forget what was made from settings that were changed, as tests do."""
    forget()


post_save.connect(_forget_person, sender=ProviderKey, dispatch_uid="own keys forget the saved")
post_delete.connect(_forget_person, sender=ProviderKey, dispatch_uid="own keys forget the deleted")
setting_changed.connect(_forget_all, dispatch_uid="own keys forget settings")
