"""Which models each provider has, and whether it answers at all: asked in the background, and remembered.

A provider is asked once a minute. Who comes while nothing is known yet waits for the answer, for a bounded time; who
comes later gets the last one, and a provider that failed is asked anew after a few seconds.
"""

import asyncio
import logging
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedTooLong
from dataclasses import dataclass

from agents.providers import abilities, provider_for
from agents.providers.base import ProviderError, ProviderSpec, ProviderUnauthorized, ProviderUnavailable

LIST_SECONDS = 60.0
SICK_SECONDS = 5.0
FIRST_WAIT_SECONDS = 2.0
LATER_WAIT_SECONDS = 0.3
MOST = 1_000  # providers that are remembered


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
_known: dict[ProviderSpec, Listing] = {}
_asking: dict[ProviderSpec, Question] = {}
_lock = threading.Lock()


def forget() -> None:
    """Forget what all providers answered."""
    _known.clear()
    abilities.forget()


def fresh(provider: ProviderSpec) -> Listing | None:
    """What memory holds of the provider, while that is good."""
    held = _known.get(provider)
    return held if held is not None and time.monotonic() < held.until else None


def of(provider: ProviderSpec) -> Listing:
    """What the provider lists, from memory; waits for it only where memory holds nothing or an error that is over."""
    if held := fresh(provider):
        return held
    if provider.offline:
        return _known.setdefault(provider, _listed(provider, provider.model_names, float("inf")))
    question = ask(provider)
    held = _known.get(provider)
    if held is not None and held.error is None:
        return held
    patience = FIRST_WAIT_SECONDS if held is None else LATER_WAIT_SECONDS
    try:
        return question.answer.result(max(0.0, question.began + patience - time.monotonic()))
    except WaitedTooLong:
        error = ProviderUnavailable(f"{provider.name} has not answered within {patience:g} seconds.")
        return Listing((), frozenset(), 0.0, error)


def ask(provider: ProviderSpec) -> Question:
    """The one question for models that is under way for this provider, begun if there is none."""
    with _lock:
        question = _asking.get(provider)
        if question is None:
            question = _asking[provider] = Question(time.monotonic(), Future())
            threading.Thread(target=_ask_in_thread, args=(provider, question), name="models", daemon=True).start()
        return question


def _ask_in_thread(provider: ProviderSpec, question: Question) -> None:
    """Ask for the models on a loop of this thread's own, so that threads and loops may call alike."""
    error: ProviderError
    try:
        listing = asyncio.run(_fetch(provider))
    except ProviderError as refusal:
        error = refusal
        listing = Listing((), frozenset(), time.monotonic() + SICK_SECONDS, error)
    except Exception:  # the thread's outermost frame: whoever waits must hear of it
        log.exception("the models of a provider could not be listed", extra={"provider": provider.name})
        error = ProviderUnavailable(f"{provider.name} could not be asked for its models.")
        listing = Listing((), frozenset(), time.monotonic() + SICK_SECONDS, error)
    with _lock:
        if len(_known) >= MOST:  # people's own keys make providers of their own
            _known.clear()
        _known[provider] = listing
        _asking.pop(provider, None)
    question.answer.set_result(listing)


async def _fetch(provider: ProviderSpec) -> Listing:
    try:
        async with asyncio.timeout(LIST_SECONDS / 4):
            names = await provider_for(provider).list_models()
    except TimeoutError:
        raise ProviderUnavailable(f"{provider.name} does not answer: it took too long to list its models.") from None
    except ProviderError as error:
        if error.retryable or isinstance(error, ProviderUnauthorized):
            raise
        names = []  # it answers, but has no list of models to show
    return _listed(provider, provider.model_names or tuple(names), time.monotonic() + LIST_SECONDS)


def _listed(provider: ProviderSpec, names: tuple[str, ...], until: float) -> Listing:
    """A listing; a default is always known, and Ollama's `name:latest` is known as `name` too."""
    short = (name.removesuffix(":latest") for name in names)
    return Listing(names, frozenset((*names, *short, *filter(None, [provider.default_model]))), until)
