"""The Brain: which provider and model answer. Called before every answer, so all that it needs is remembered.

Providers come from the environment (the same for every workspace) and from the workspace's own rows; a row takes the
place of a provider of the same name from the environment, and a row that is switched off takes it away.
Each provider is asked for its models in the background, once a minute; whoever comes while nothing is known yet waits
for the answer, for a bounded time.
"""

import asyncio
import logging
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedTooLong
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.signals import setting_changed
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from accounts.models import Workspace
from agents.models import Provider
from agents.providers import profiles, provider_for, rehearsal
from agents.providers.base import (
    ProviderError,
    ProviderSpec,
    ProviderUnauthorized,
    ProviderUnavailable,
    UnknownModel,
)
from core.errors import Unavailable

ROWS_SECONDS = 3.0  # how long a change made by another process may go unseen
LIST_SECONDS = 60.0
SICK_SECONDS = 5.0
FIRST_WAIT_SECONDS = 2.0
LATER_WAIT_SECONDS = 0.3
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


@dataclass(frozen=True, slots=True)
class Listing:
    """What a provider answered when it was asked for its models, good until `until` by the monotonic clock."""

    names: tuple[str, ...]
    known: frozenset[str]
    until: float
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A provider that is being asked for its models, since `began` by the monotonic clock."""

    began: float
    answer: "Future[Listing]"


log = logging.getLogger(__name__)
_rows: dict[UUID, tuple[float, tuple[ProviderSpec, ...]]] = {}
_listings: dict[ProviderSpec, Listing] = {}
_asking: dict[ProviderSpec, Question] = {}
_lock = threading.Lock()


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
        for name in _listing(provider).names:
            if name not in found:
                known = profiles.profile(name)
                price = profiles.price(provider.base_url, name)
                found[name] = ModelInfo(
                    name, provider.name, known.capabilities, "free", known.context_window, price
                )
    return list(found.values())


def providers(workspace_id: UUID) -> tuple[ProviderSpec, ...]:
    """The workspace's providers in the order in which they are asked, the offline one last."""
    now = time.monotonic()
    held = _rows.get(workspace_id)
    if held is None or held[0] < now:
        rows = list(Provider.objects.filter(workspace_id=workspace_id))
        named = {row.name: _from_row(row) if row.enabled else None for row in rows}
        specs = {**{found.name: found for found in from_environment()}, **named}
        standing = sorted((s for s in specs.values() if s), key=lambda s: (s.offline, s.priority, s.name))
        held = _rows[workspace_id] = (now + ROWS_SECONDS, tuple(standing))
        for found in standing:  # all at once, so that whoever waits for several waits as for one
            if not (found.offline or _fresh(found)):
                _ask(found)
    return held[1]


def from_environment() -> tuple[ProviderSpec, ...]:
    """The providers that the settings name."""
    return _from_settings(
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL, settings.GROQ_API_KEY, settings.OPENROUTER_API_KEY,
        settings.OLLAMA_HOST, settings.REHEARSAL,
        (settings.PROVIDER_CONNECT_SECONDS, settings.PROVIDER_FIRST_TOKEN_SECONDS, settings.PROVIDER_BETWEEN_TOKENS_SECONDS),
    )  # fmt: skip


def forget() -> None:
    """Forget all that is remembered, as after a change of settings."""
    _rows.clear()
    _listings.clear()


@lru_cache(maxsize=8)
def _from_settings(
    openai_key: str,
    openai_url: str,
    groq: str,
    openrouter: str,
    ollama: str,
    offline: bool,
    waits: tuple[float, ...],
) -> tuple[ProviderSpec, ...]:
    def provider(
        name: str, url: str, key: str, default: str, priority: int, *, any_model: bool
    ) -> ProviderSpec:
        return ProviderSpec(name, "openai", url, key, (), default, any_model, priority, *waits)

    found = []
    if openai_key or openai_url:
        url = openai_url or f"https://{profiles.OPENAI}/v1"
        own = urlsplit(url).hostname != profiles.OPENAI
        # Proxies and self-hosted servers route names that they do not list: their own 404 is the answer then.
        default = "" if own else "gpt-4o-mini"
        found.append(provider("openai", url, openai_key, default, 10, any_model=own))
    if groq:
        url = f"https://{profiles.GROQ}/openai/v1"
        found.append(provider("groq", url, groq, "llama-3.3-70b-versatile", 20, any_model=False))
    if openrouter:  # lists models, but not their variants such as `:online`
        url = "https://openrouter.ai/api/v1"
        found.append(provider("openrouter", url, openrouter, "openrouter/auto", 30, any_model=True))
    if ollama:
        found.append(provider("ollama", ollama_url(ollama), "", "", 40, any_model=False))
    if offline:
        found.append(_rehearsal("rehearsal", waits))
    return tuple(found)


def _rehearsal(name: str, waits: tuple[float, ...]) -> ProviderSpec:
    models, default = rehearsal.MODELS, rehearsal.MODELS[0]
    return ProviderSpec(name, "rehearsal", "", "", models, default, False, 1000, *waits, offline=True)


def ollama_url(host: str) -> str:
    """The OpenAI-compatible address of an OLLAMA_HOST, which may lack its scheme and port as Ollama allows."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    name = "127.0.0.1" if parts.hostname in (None, "", "0.0.0.0") else parts.hostname  # noqa: S104  Ollama's listening address
    name = f"[{name}]" if ":" in name else name
    port = parts.port or (443 if parts.scheme == "https" else 11434)
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}/v1"


def _from_row(row: Provider) -> ProviderSpec:
    waits = (
        settings.PROVIDER_CONNECT_SECONDS,
        settings.PROVIDER_FIRST_TOKEN_SECONDS,
        settings.PROVIDER_BETWEEN_TOKENS_SECONDS,
    )
    if row.kind == "rehearsal":
        return _rehearsal(row.name, waits)
    return ProviderSpec(
        row.name, row.kind, row.base_url, row.api_key, tuple(row.model_names), row.default_model,
        row.any_model, row.priority, *waits,
    )  # fmt: skip


def _having(specs: tuple[ProviderSpec, ...], model: str) -> ProviderSpec:
    """The first provider that lists the model, else the first that passes any name on."""
    passing, silent, names = None, [], []
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


def _default(specs: tuple[ProviderSpec, ...], *, allow_fallback: bool, fallback: bool) -> Choice:
    """The first real provider that answers, with its default; the offline one where there is no real one at all."""
    reasons = []
    for found in specs:
        if found.offline and reasons and not allow_fallback:
            break
        listing = _listing(found)
        model = found.default_model or next(iter(listing.names), "")
        if model and not listing.error:
            return Choice(found, model, fallback=fallback or (found.offline and bool(reasons)))
        reasons.append(
            listing.error.detail if listing.error else f"{found.name} lists no model and has no default."
        )
    raise BrainUnavailable(" ".join(reasons) or "No model provider is set up.")


def _fresh(provider: ProviderSpec) -> Listing | None:
    held = _listings.get(provider)
    return held if held is not None and time.monotonic() < held.until else None


def _listing(provider: ProviderSpec) -> Listing:
    """What the provider lists, from memory; waits for it only where memory holds nothing or an error that is over."""
    if held := _fresh(provider):
        return held
    if provider.offline:
        return _listings.setdefault(provider, _listed(provider, provider.model_names, float("inf")))
    question = _ask(provider)
    held = _listings.get(provider)
    if held is not None and held.error is None:
        return held
    patience = FIRST_WAIT_SECONDS if held is None else LATER_WAIT_SECONDS
    try:
        return question.answer.result(max(0.0, question.began + patience - time.monotonic()))
    except WaitedTooLong:
        error = ProviderUnavailable(f"{provider.name} has not answered within {patience:g} seconds.")
        return Listing((), frozenset(), 0.0, error)


def _ask(provider: ProviderSpec) -> Question:
    """The one question for models that is under way for this provider, begun if there is none."""
    with _lock:
        question = _asking.get(provider)
        if question is None:
            question = _asking[provider] = Question(time.monotonic(), Future())
            threading.Thread(
                target=_ask_in_thread, args=(provider, question), name="models", daemon=True
            ).start()
        return question


def _ask_in_thread(provider: ProviderSpec, question: Question) -> None:
    """Ask for the models on a loop of this thread's own, so that threads and loops may call alike."""
    error: ProviderError
    try:
        listing = asyncio.run(_fetch(provider))
    except ProviderError as refusal:
        error = refusal
        listing = Listing((), frozenset(), time.monotonic() + SICK_SECONDS, error)
    except Exception:  # noqa: BLE001  the thread's outermost frame: whoever waits must hear of it
        log.exception("the models of a provider could not be listed", extra={"provider": provider.name})
        error = ProviderUnavailable(f"{provider.name} could not be asked for its models.")
        listing = Listing((), frozenset(), time.monotonic() + SICK_SECONDS, error)
    with _lock:
        _listings[provider] = listing
        _asking.pop(provider, None)
    question.answer.set_result(listing)


async def _fetch(provider: ProviderSpec) -> Listing:
    try:
        async with asyncio.timeout(LIST_SECONDS / 4):
            names = await provider_for(provider).list_models()
    except TimeoutError:
        raise ProviderUnavailable(
            f"{provider.name} does not answer: it took too long to list its models."
        ) from None
    except ProviderError as error:
        if error.retryable or isinstance(error, ProviderUnauthorized):
            raise
        names = []  # it answers, but has no list of models to show
    return _listed(provider, provider.model_names or tuple(names), time.monotonic() + LIST_SECONDS)


def _listed(provider: ProviderSpec, names: tuple[str, ...], until: float) -> Listing:
    """A listing; a default is always known, and Ollama's `name:latest` is known as `name` too."""
    short = (name.removesuffix(":latest") for name in names)
    return Listing(names, frozenset((*names, *short, *filter(None, [provider.default_model]))), until)


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
