"""The Brain: which provider and model answer. Called before every answer, so all that it needs is remembered.

Providers come from the environment (the same for every workspace) and from the workspace's own rows; a row takes the
place of a provider of the same name from the environment, and a row that is switched off takes it away.
"""

import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.signals import setting_changed
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from accounts.models import Workspace
from agents import breakers, environment, listings, ownkeys
from agents.listings import Listing
from agents.models import Provider
from agents.providers import abilities, presets, prices
from agents.providers.base import ProviderError, ProviderSpec, UnknownModel
from core.errors import Invalid, Unavailable

ROWS_SECONDS = 3.0  # how long a change made by another process may go unseen
NAMES_SHOWN = 20
FREE = (0.0, 0.0)
ALIASES = {"claude": "anthropic"}
"""What providers are called elsewhere."""


class BrainUnavailable(Unavailable):
    """No model provider that could answer does."""

    code = "brain_unavailable"
    title = "No model can answer now"


class ProviderMissing(Unavailable):
    """A well-known provider that is not set up here."""

    code = "provider_not_configured"
    title = "The provider is not set up"


class ModelLacks(Invalid):
    """The model cannot do what the request needs; `lacks` and `models` in the problem name what, and who can."""

    code = "model_lacks"
    title = "The model cannot do this"


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


@dataclass(frozen=True, slots=True)
class Silent:
    """A provider that is not asked now, with the error that says why."""

    provider: str
    code: str
    message: str


_rows: dict[UUID, tuple[float, tuple[ProviderSpec, ...], frozenset[str]]] = {}


def choose(
    workspace: Workspace,
    *,
    asked: str | None,
    preferred: str = "",
    agent_model: str = "",
    needs: Collection[str] = frozenset(),
    user_id: UUID | None = None,
) -> Choice:
    """Who answers: the model asked for, else the person's, the agent's, the workspace's, the first provider's default.

    A model that is wanted and cannot be had raises UnknownModel where nobody has it, BrainUnavailable where one who may
    have it does not answer, ModelLacks where it surely lacks one of the abilities that the request `needs`; in a
    workspace that allows fallback the next in line answers instead, and is marked so.
    """
    wanted = [model for model in (asked, preferred, agent_model, workspace.default_model) if model]
    specs = providers(workspace.pk, user_id)
    for place, model in enumerate(wanted):
        try:
            return Choice(_able(specs, model, needs), model, fallback=place > 0)
        except (UnknownModel, BrainUnavailable, ModelLacks):
            if not workspace.allow_fallback:
                raise
    if workspace.allow_fallback and workspace.fallback_models:
        with contextlib.suppress(BrainUnavailable, ModelLacks):
            if not wanted:
                return _default(specs, allow_fallback=False, fallback=False, needs=needs)
        if found := _in_chain(workspace, specs, needs):
            return found
    return _default(specs, allow_fallback=workspace.allow_fallback, fallback=bool(wanted), needs=needs)


def by_provider(
    workspace: Workspace, name: str, *, needs: Collection[str] = frozenset(), user_id: UUID | None = None
) -> Choice:
    """Who answers where a provider is asked for: the one of this name, else the first of that service, by its default.

    Raises ProviderMissing where there is none, and as `choose` where it does not answer or its default lacks something;
    in a workspace that allows fallback another answers then, and is marked so.
    """
    real = tuple(found for found in providers(workspace.pk, user_id) if not found.offline)
    wanted = ALIASES.get(name, name)
    named = [found for found in real if found.name in (name, wanted)]
    named = named[:1] or [found for found in real if presets.service(found) == wanted]
    if not named:
        raise ProviderMissing(f"The provider {name!r} is not set up. Ask another, or none; an admin can set it up.")
    try:
        return _default(tuple(named), allow_fallback=False, fallback=False, needs=needs)
    except (BrainUnavailable, ModelLacks):
        other = instead(workspace, of={found.name for found in named}, needs=needs, user_id=user_id)
        if other is None:
            raise
        return other


def instead(
    workspace: Workspace,
    *,
    of: Collection[str],
    needs: Collection[str] = frozenset(),
    user_id: UUID | None = None,
) -> Choice | None:
    """Who answers in place `of` the providers of these names, which failed; None where nobody else may.

    That is the first of the workspace's fallback models that can be had, or, where it names none, the next real
    provider's default. The offline provider never answers for a real one unless its model is named there.
    """
    if not workspace.allow_fallback:
        return None
    specs = tuple(found for found in providers(workspace.pk, user_id) if found.name not in of)
    if workspace.fallback_models:
        return _in_chain(workspace, specs, needs)
    try:
        real = tuple(found for found in specs if not found.offline)
        return _default(real, allow_fallback=True, fallback=True, needs=needs)
    except (BrainUnavailable, ModelLacks):
        return None


def require(workspace: Workspace, model: str, *, user_id: UUID | None = None) -> ProviderSpec:
    """The provider that has this very model; raises UnknownModel or BrainUnavailable."""
    return _having(providers(workspace.pk, user_id), model)


def spec(workspace_id: UUID, provider_name: str, user_id: UUID | None = None) -> ProviderSpec:
    """The provider of this name for the person; raises BrainUnavailable where it was taken away meanwhile."""
    for found in providers(workspace_id, user_id):
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


def models(workspace: Workspace, user_id: UUID | None = None) -> list[ModelInfo]:
    """The models of all providers that answer, in the order in which providers are asked."""
    found: dict[str, ModelInfo] = {}
    for provider in providers(workspace.pk, user_id):
        for name in _listing(provider).names:
            if name not in found:
                able, window = abilities.names(provider, name), abilities.context_window(provider, name)
                price = FREE if provider.offline else prices.of(provider.base_url, name)
                found[name] = ModelInfo(name, provider.name, able, "free", window, price)
    return list(found.values())


def unavailable(workspace: Workspace, user_id: UUID | None = None) -> list[Silent]:
    """The providers that are not asked now, because they do not answer or failed again and again."""
    specs = providers(workspace.pk, user_id)
    return [Silent(found.name, error.code, error.detail) for found in specs if (error := _listing(found).error)]


def providers(workspace_id: UUID, user_id: UUID | None = None) -> tuple[ProviderSpec, ...]:
    """The workspace's providers in the order in which they are asked, the offline one last.

    A person's own key takes the place of the workspace's provider of that name for them, and is asked first; what the
    workspace has switched off stays off.
    """
    own = ownkeys.of(workspace_id, user_id)
    standing, switched_off = _standing(workspace_id)
    theirs = tuple(found for found in own if found.name not in switched_off)
    names = {found.name for found in theirs}
    return (*theirs, *(found for found in standing if found.name not in names)) if theirs else standing


def switched_off(workspace_id: UUID) -> frozenset[str]:
    """The names of the providers that the workspace has switched off."""
    return _standing(workspace_id)[1]


def _standing(workspace_id: UUID) -> tuple[tuple[ProviderSpec, ...], frozenset[str]]:
    """The workspace's providers, and the names of those that it has switched off."""
    now = time.monotonic()
    held = _rows.get(workspace_id)
    if held is None or held[0] < now:
        rows = list(Provider.objects.filter(workspace_id=workspace_id))
        named = {row.name: _from_row(row) if row.enabled else None for row in rows}
        specs = {**{found.name: found for found in environment.providers()}, **named}
        standing = sorted((s for s in specs.values() if s), key=lambda s: (s.offline, s.priority, s.name))
        off = frozenset(name for name, found in named.items() if found is None)
        held = _rows[workspace_id] = (now + ROWS_SECONDS, tuple(standing), off)
        for found in standing:  # all at once, so that whoever waits for several waits as for one
            if not (found.offline or listings.fresh(found)):
                listings.ask(found)
    return held[1], held[2]


def forget() -> None:
    """Forget all that is remembered, as after a change of settings."""
    _rows.clear()
    ownkeys.forget()
    listings.forget()
    breakers.forget()


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
        memories=row.send_memories,
        guarded=row.guarded,
    )


def _having(specs: tuple[ProviderSpec, ...], model: str) -> ProviderSpec:
    """The first provider that lists the model, else the first that passes any name on."""
    passing: ProviderSpec | None = None
    silent: list[ProviderError] = []
    names: list[str] = []
    for found in specs:
        listing = _listing(found)
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


def _listing(spec: ProviderSpec) -> Listing:
    """What the provider lists; nothing, and why, while it is left alone or does not answer."""
    refusal = breakers.refusal(spec)
    return Listing((), frozenset(), 0.0, refusal) if refusal else listings.of(spec)


def _able(specs: tuple[ProviderSpec, ...], model: str, needs: Collection[str]) -> ProviderSpec:
    """As `_having`; raises ModelLacks too, where that model surely lacks an ability in need."""
    found = _having(specs, model)
    if lacking := abilities.lacks(found, model, needs):
        raise _lacks(specs, model, lacking, needs)
    return found


def _lacks(specs: tuple[ProviderSpec, ...], model: str, lacking: Collection[str], needs: Collection[str]) -> ModelLacks:
    """The refusal of a model, with models that could take the request."""
    listed = [(found, name) for found in specs if not found.offline for name in _listing(found).names]
    able = [name for found, name in listed if not abilities.lacks(found, name, needs)]
    able = list(dict.fromkeys(able))[:NAMES_SHOWN]
    words = " and ".join(sorted(lacking))
    advice = f"These can: {', '.join(able)}." if able else "No model here can."
    return ModelLacks(
        f"The model {model[:200]!r} lacks what this request needs: {words}. {advice}",
        extra={"lacks": sorted(lacking), "models": able},
    )


def _in_chain(workspace: Workspace, specs: tuple[ProviderSpec, ...], needs: Collection[str]) -> Choice | None:
    """The first of the workspace's fallback models that can be had and is able."""
    for model in workspace.fallback_models:
        try:
            return Choice(_able(specs, str(model), needs), str(model), fallback=True)
        except (UnknownModel, BrainUnavailable, ModelLacks):
            continue
    return None


def _default(
    specs: tuple[ProviderSpec, ...], *, allow_fallback: bool, fallback: bool, needs: Collection[str] = frozenset()
) -> Choice:
    """The first real provider that answers, with its default; the offline one where there is no real one at all.

    A default that lacks an ability in need is passed over where fallback is allowed, for a real one only, else refused.
    """
    reasons: list[str] = []
    refused: ModelLacks | None = None
    for found in specs:
        if found.offline and (refused or (reasons and not allow_fallback)):
            break  # it takes whatever comes, and would only play a model that can
        listing = _listing(found)
        model = found.default_model or next(iter(listing.names), "")
        if model and not listing.error:
            lacking = abilities.lacks(found, model, needs)
            if not lacking:
                return Choice(found, model, fallback=fallback or bool(refused) or (found.offline and bool(reasons)))
            refused = refused or _lacks(specs, model, lacking, needs)
            if allow_fallback:
                continue
            break
        reasons.append(listing.error.detail if listing.error else f"{found.name} lists no model and has no default.")
    if refused:
        raise refused
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
