"""The Brain: which provider and model answer. Called before every answer, so all that it needs is remembered.

Providers come from the environment (the same for every workspace) and from the workspace's own rows; a row takes the
place of a provider of the same name from the environment, and a row that is switched off takes it away.
"""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.signals import setting_changed
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from accounts.models import Workspace
from agents import environment, listings
from agents.models import Provider
from agents.providers import profiles
from agents.providers.base import ProviderError, ProviderSpec, UnknownModel
from core.errors import Unavailable

ROWS_SECONDS = 3.0  # how long a change made by another process may go unseen
NAMES_SHOWN = 20


class BrainUnavailable(Unavailable):
    """No model provider that could answer does."""

    code = "brain_unavailable"
    title = "No model can answer now"


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers; `fallback` where that is not what was asked for."""

    provider: ProviderSpec
    model: str
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be asked; the price is US dollars a million tokens, in and out, where it is known."""

    id: str
    provider: str
    capabilities: tuple[str, ...]
    tier: str
    context_window: int | None
    price: tuple[float, float] | None


_rows: dict[UUID, tuple[float, tuple[ProviderSpec, ...]]] = {}


def choose(workspace: Workspace, *, asked: str | None, preferred: str = "", agent_model: str = "") -> Choice:
    """Who answers: the model asked for, else the person's, the agent's, the workspace's, the first provider's default.

    A model that is wanted and cannot be had raises UnknownModel where nobody has it, BrainUnavailable where one who may
    have it does not answer; in a workspace that allows fallback the next in line answers instead, and is marked so.
    """
    wanted = [model for model in (asked, preferred, agent_model, workspace.default_model) if model]
    specs = providers(workspace.pk)
    for place, model in enumerate(wanted):
        try:
            return Choice(_having(specs, model), model, fallback=place > 0)
        except (UnknownModel, BrainUnavailable):
            if not workspace.allow_fallback:
                raise
    return _default(specs, allow_fallback=workspace.allow_fallback, fallback=bool(wanted))


def require(workspace: Workspace, model: str) -> ProviderSpec:
    """The provider that has this very model; raises UnknownModel or BrainUnavailable."""
    return _having(providers(workspace.pk), model)


def spec(workspace_id: UUID, provider_name: str) -> ProviderSpec:
    """The workspace's provider of this name; raises BrainUnavailable where it was taken away meanwhile."""
    for found in providers(workspace_id):
        if found.name == provider_name:
            return found
    raise BrainUnavailable(f"The provider {provider_name!r} is not set up any more.")


def check(workspace: Workspace) -> None:
    """Raises BrainUnavailable where nobody could answer a message that names no model."""
    _default(providers(workspace.pk), allow_fallback=workspace.allow_fallback, fallback=False)


def available(workspace: Workspace) -> bool:
    """Whether anybody could answer a message that names no model."""
    try:
        check(workspace)
    except BrainUnavailable:
        return False
    return True


def models(workspace: Workspace) -> list[ModelInfo]:
    """The models of all providers that answer, in the order in which providers are asked."""
    found: dict[str, ModelInfo] = {}
    for provider in providers(workspace.pk):
        for name in listings.of(provider).names:
            if name not in found:
                known = profiles.profile(name)
                price = profiles.price(provider.base_url, name)
                found[name] = ModelInfo(name, provider.name, known.capabilities, "free", known.context_window, price)
    return list(found.values())


def providers(workspace_id: UUID) -> tuple[ProviderSpec, ...]:
    """The workspace's providers in the order in which they are asked, the offline one last."""
    now = time.monotonic()
    held = _rows.get(workspace_id)
    if held is None or held[0] < now:
        rows = list(Provider.objects.filter(workspace_id=workspace_id))
        named = {row.name: _from_row(row) if row.enabled else None for row in rows}
        specs = {**{found.name: found for found in environment.providers()}, **named}
        standing = sorted((s for s in specs.values() if s), key=lambda s: (s.offline, s.priority, s.name))
        held = _rows[workspace_id] = (now + ROWS_SECONDS, tuple(standing))
        for found in standing:  # all at once, so that whoever waits for several waits as for one
            if not (found.offline or listings.fresh(found)):
                listings.ask(found)
    return held[1]


def forget() -> None:
    """Forget all that is remembered, as after a change of settings."""
    _rows.clear()
    listings.forget()


def _from_row(row: Provider) -> ProviderSpec:
    if row.kind == "rehearsal":
        return environment.rehearsed(row.name, environment.waits())
    names = tuple(name for name in row.model_names if isinstance(name, str)) if row.model_names else ()
    return ProviderSpec(
        row.name,
        row.kind,
        row.base_url,
        row.api_key,
        names,
        row.default_model,
        row.any_model,
        row.priority,
        *environment.waits(),
    )


def _having(specs: tuple[ProviderSpec, ...], model: str) -> ProviderSpec:
    """The first provider that lists the model, else the first that passes any name on."""
    passing: ProviderSpec | None = None
    silent: list[ProviderError] = []
    names: list[str] = []
    for found in specs:
        listing = listings.of(found)
        if listing.error:
            silent.append(listing.error)
        elif model in listing.known:
            return found
        elif found.any_model:
            passing = passing or found
        names += listing.names
    if passing:
        return passing
    if silent:
        reasons = " ".join(error.detail for error in silent)
        raise BrainUnavailable(f"No provider that answers has the model {model[:200]!r}. {reasons}")
    shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
    raise UnknownModel(f"No provider has the model {model[:200]!r}. There is: {shown or 'none'}.")


def _default(specs: tuple[ProviderSpec, ...], *, allow_fallback: bool, fallback: bool) -> Choice:
    """The first real provider that answers, with its default; the offline one where there is no real one at all."""
    reasons: list[str] = []
    for found in specs:
        if found.offline and reasons and not allow_fallback:
            break
        listing = listings.of(found)
        model = found.default_model or next(iter(listing.names), "")
        if model and not listing.error:
            return Choice(found, model, fallback=fallback or (found.offline and bool(reasons)))
        reasons.append(listing.error.detail if listing.error else f"{found.name} lists no model and has no default.")
    raise BrainUnavailable(" ".join(reasons) or "No model provider is set up.")


def _forget_rows(sender: object, instance: Provider, **_: Any) -> None:
    """Forget a workspace's providers now, for this transaction, and when it commits, for those who read meanwhile."""
    _rows.pop(instance.workspace_id, None)
    transaction.on_commit(lambda: _rows.pop(instance.workspace_id, None))


def _forget_all(**_: Any) -> None:
    """Forget what was read from settings that were changed, as tests do."""
    forget()


post_save.connect(_forget_rows, sender=Provider, dispatch_uid="brain forgets the saved")
post_delete.connect(_forget_rows, sender=Provider, dispatch_uid="brain forgets the deleted")
setting_changed.connect(_forget_all, dispatch_uid="brain forgets settings")
