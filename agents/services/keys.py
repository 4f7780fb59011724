"""People's own keys for model providers: kept sealed, used for their messages alone, and never given back."""

import asyncio

from django.db import transaction

from accounts.models import Actor
from agents import brain, environment
from agents.models import ProviderKey
from agents.providers import provider_for
from agents.providers.base import ProviderError, ProviderSpec, ProviderUnauthorized
from agents.services import asking
from approvals.services import audit
from core.errors import Conflict, Invalid, NotFound, Unavailable

VALIDATE_SECONDS = 10.0


class UnknownProvider(Invalid):
    """No well-known provider has this name."""

    code = "unknown_provider"
    title = "There is no such provider"


class KeyRefusedThere(Invalid):
    """The provider refuses the key."""

    code = "key_refused"
    title = "The provider refuses the key"


class ProviderOff(Conflict):
    """The workspace has switched the provider off."""

    code = "provider_off"
    default_detail = "The workspace has switched this provider off; a key of your own does not change that."


class NoSuchKey(NotFound):
    """The caller has no key for this provider."""

    code = "unknown_key"
    title = "There is no such key"


def keep(actor: Actor, provider: str, api_key: str, *, validate: bool = False) -> ProviderKey:
    """Keep the caller's key for a provider, in place of the one before.

    Where it is to be validated, the provider is asked for its models with it, and nothing is kept of a key that it
    refuses. Raises UnknownProvider, ProviderOff, KeyRefusedThere, TooManyAsked, or Unavailable where the provider does
    not answer.
    """
    spec = environment.with_key(provider, api_key)
    if spec is None:
        raise UnknownProvider(f"Keys can be brought for {', '.join(sorted(environment.known()))}.")
    if provider in brain.switched_off(actor.workspace.pk):
        raise ProviderOff
    if validate:
        _validate(spec)
    with transaction.atomic():
        row, _ = ProviderKey.objects.update_or_create(
            workspace=actor.workspace, user=actor.user, provider=provider, defaults={"api_key": api_key}
        )
        _record("provider_key.added", row, by=actor)
    return row


def remove(actor: Actor, provider: str) -> None:
    """Remove the caller's key for a provider; raises NoSuchKey."""
    with transaction.atomic():
        row = ProviderKey.objects.visible_to(actor).select_for_update().filter(provider=provider).first()
        if row is None:
            raise NoSuchKey("You have no key for a provider of this name.")
        delete(row, by=actor)


@transaction.atomic
def delete(row: ProviderKey, *, by: Actor) -> None:
    """Remove somebody's key, as an admin does whose workspace they belong to."""
    _record("provider_key.removed", row, by=by)
    row.delete()


def _validate(spec: ProviderSpec) -> None:
    async def ask() -> None:
        async with asyncio.timeout(VALIDATE_SECONDS):
            await provider_for(spec).list_models()

    try:
        with asking.place():
            asyncio.run(ask())
    except ProviderUnauthorized as error:
        detail = f"{spec.name} refuses this key; nothing was kept."
        raise KeyRefusedThere(detail, errors=Invalid.field("api_key", detail, "key_refused").errors) from error
    except (ProviderError, TimeoutError) as error:
        raise Unavailable(
            f"{spec.name} could not be asked; nothing was kept. Try again, or do not validate."
        ) from error


def _record(type_: str, row: ProviderKey, *, by: Actor) -> None:
    audit.record(
        audit.Entry(
            type=type_,
            workspace_id=row.workspace_id,
            who=audit.person(by),
            target=("provider_key", row.pk),
            data={"provider": row.provider, "person": str(row.user)},
        )
    )
