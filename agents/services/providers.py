"""Model providers of a workspace: each change is audited, and of a key only that there is another; what they list."""

import asyncio
from typing import Any

from django.db import transaction

from accounts.models import Actor
from agents.models import Provider
from agents.providers import provider_for
from agents.providers.base import ProviderSpec, ProviderUnavailable
from agents.services import asking
from approvals.services import audit

PATIENCE_SECONDS = 15
_TOLD = (
    "name", "kind", "base_url", "default_model", "model_names", "any_model", "priority", "send_memories", "enabled",
)  # fmt: skip


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


def models_of(provider: Provider) -> list[str]:
    """The models that the provider lists, asked now; raises ProviderError, SealBroken for its key, TooManyAsked."""
    spec = ProviderSpec(provider.name, provider.kind, provider.base_url, provider.api_key)

    async def ask() -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await provider_for(spec).list_models()

    try:
        with asking.place():
            return asyncio.run(ask())
    except TimeoutError:
        raise ProviderUnavailable(f"{spec.name} has not answered within {PATIENCE_SECONDS} seconds.") from None


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
