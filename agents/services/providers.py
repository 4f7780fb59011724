"""Model providers of a workspace: each change is audited, and of a key only that there is another."""

from typing import Any

from django.db import transaction

from accounts.models import Actor
from agents.models import Provider
from approvals.services import audit

_TOLD = ("name", "kind", "base_url", "default_model", "model_names", "any_model", "priority", "enabled")


@transaction.atomic
def save(provider: Provider, *, new_key: bool, by: Actor) -> None:
    """Store a new or changed provider: from now on what is said in the workspace may be sent there."""
    before = _told(provider)
    provider.save()
    after = _told(provider)
    if new_key or before != after:
        _record(provider, by, before=before, after=after, new_key=new_key)


@transaction.atomic
def remove(provider: Provider, *, by: Actor) -> None:
    """Delete a provider, with its key."""
    _record(provider, by, before=_told(provider), after=None, new_key=False)
    provider.delete()


def _told(provider: Provider) -> dict[str, Any] | None:
    """The provider as the log has it, locked; None where it is not stored."""
    rows = Provider.objects.select_for_update(no_key=True).filter(pk=provider.pk)
    found: dict[str, Any] | None = rows.values(*_TOLD).first()
    return found


def _record(provider: Provider, by: Actor, **told: Any) -> None:
    audit.record(
        audit.Entry(
            type="provider.changed",
            workspace_id=provider.workspace_id,
            who=audit.person(by),
            target=("provider", provider.pk),
            data=told,
        )
    )
