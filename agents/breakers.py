"""A circuit breaker for each provider: one that keeps failing by its own fault is left alone for a while.

Each process counts for itself, because only workers hear providers fail; what opened is told through Valkey, so that
the web processes choose by it too. After its time one request may try, and its outcome closes the breaker or opens it
anew. Only providers that failed lately are remembered.
"""

import contextlib
import logging
import math
import threading
import time
from typing import Any

import pybreaker
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.exceptions import RedisError

from agents.providers.base import (
    FirstTokenTimeout,
    ProviderError,
    ProviderSpec,
    ProviderUnavailable,
    Stalled,
    StreamCut,
    StreamMalformed,
)
from core import bridge, valkey

FAULTS = (ProviderUnavailable, FirstTokenTimeout, Stalled, StreamCut, StreamMalformed)
"""What a provider does by its own fault; a limit, a refused key or a request that it finds bad says nothing of it."""

SHARED = "breakers"  # by provider, until when it is left alone, in seconds of the epoch
SHARED_SECONDS = 2.0  # how long what another process found may go unseen
MOST = 1_000

log = logging.getLogger(__name__)


class CircuitOpen(ProviderUnavailable):
    """The provider failed so often that it is not asked now."""

    code = "provider_unavailable"
    title = "The model provider is left alone for a while"


class Breaker:
    """One provider's breaker: the library's counting, and one trial at a time once the rest is over."""

    def __init__(self) -> None:
        self._circuit = pybreaker.CircuitBreaker(
            fail_max=settings.PROVIDER_BREAKER_FAILURES,
            reset_timeout=settings.PROVIDER_BREAKER_SECONDS,
            throw_new_error_on_trip=False,
        )
        self._rests_until = 0.0
        self._trial_until = 0.0

    @property
    def closed(self) -> bool:
        """Whether the provider is asked as ever."""
        return self._circuit.current_state == pybreaker.STATE_CLOSED

    def waits(self) -> float:
        """Seconds until the provider may be asked; 0 where it may be now."""
        if self.closed:
            return 0.0
        return max(0.0, max(self._rests_until, self._trial_until) - time.monotonic())

    def enter(self, patience: float) -> float:
        """As `waits`; where a rest is over, the trial is the caller's, for so many seconds at most."""
        wait = self.waits()
        if not wait and not self.closed:
            self._circuit.half_open()
            self._trial_until = time.monotonic() + patience
        return wait

    def leave(self) -> None:
        """Let another try: nothing is known of this trial."""
        self._trial_until = 0.0

    def fail(self, error: ProviderError) -> bool:
        """Count a failure; True where the breaker opened by it."""

        def failing() -> None:
            raise error

        with contextlib.suppress(type(error), pybreaker.CircuitBreakerError):
            self._circuit.call(failing)
        self._trial_until = 0.0
        now = time.monotonic()
        if self._circuit.current_state != pybreaker.STATE_OPEN or now < self._rests_until:
            return False
        self._rests_until = now + settings.PROVIDER_BREAKER_SECONDS
        return True


_breakers: dict[ProviderSpec, Breaker] = {}
_lock = threading.Lock()
_shared: dict[str, float] = {}
_shared_until = 0.0


def refusal(spec: ProviderSpec) -> CircuitOpen | None:
    """Why the provider is not asked now, by what this process and the others found; None where it may be asked.

    Looks into Valkey every few seconds, so it is not for an event loop.
    """
    if spec.offline:
        return None
    held = _breakers.get(spec)
    wait = held.waits() if held is not None else _elsewhere(spec)
    return _open(spec, wait) if wait > 0 else None


def begin(spec: ProviderSpec) -> None:
    """Before a provider is asked; raises CircuitOpen where it is to be left alone."""
    if held := _breakers.get(spec):
        with _lock:
            wait = held.enter(spec.first_token_seconds + spec.connect_seconds)
        if wait > 0:
            raise _open(spec, wait)


def rests(spec: ProviderSpec) -> bool:
    """Whether this process found that the provider is to be left alone."""
    held = _breakers.get(spec)
    return held is not None and held.waits() > 0


def succeeded(spec: ProviderSpec) -> None:
    """The provider answered: what it failed before is forgotten."""
    if spec in _breakers:
        with _lock:
            held = _breakers.pop(spec, None)
        if held is not None and not held.closed:
            log.info("a provider answers again", extra={"provider": spec.name})
            _tell(spec, 0.0)


def failed(spec: ProviderSpec, error: ProviderError) -> None:
    """The provider failed: by its own fault, or else in a way that shows that it answers."""
    if spec.offline or isinstance(error, CircuitOpen):
        return
    if not isinstance(error, FAULTS):
        succeeded(spec)
        return
    with _lock:
        if len(_breakers) >= MOST:
            for other in [one for one, breaker in _breakers.items() if breaker.closed]:
                del _breakers[other]
        opened = _breakers.setdefault(spec, Breaker()).fail(error)
    if opened:
        log.warning("a provider is left alone for a while", extra={"provider": spec.name, "error": error.detail})
        _tell(spec, time.time() + settings.PROVIDER_BREAKER_SECONDS)


def spoke(spec: ProviderSpec) -> None:
    """The provider began to answer: that is all that a trial needs to show."""
    if (held := _breakers.get(spec)) and not held.closed:
        succeeded(spec)


def abandoned(spec: ProviderSpec) -> None:
    """Whoever asked went away before an answer: nothing is learnt of the provider."""
    if held := _breakers.get(spec):
        held.leave()


def forget() -> None:
    """Forget what failed, as after a change of settings."""
    global _shared_until
    _breakers.clear()
    _shared.clear()
    _shared_until = 0.0


def _open(spec: ProviderSpec, wait: float) -> CircuitOpen:
    soon = max(1, math.ceil(wait))
    return CircuitOpen(f"{spec.name} failed again and again; it is asked again in {soon} s.", retry_after=soon)


def _elsewhere(spec: ProviderSpec) -> float:
    """Seconds for which another process leaves the provider alone, as known for a moment."""
    global _shared, _shared_until
    now = time.monotonic()
    if now >= _shared_until:
        _shared_until = now + SHARED_SECONDS
        try:
            found: Any = valkey.quick().zrangebyscore(SHARED, time.time(), "+inf", withscores=True)
            _shared = {name.decode(): until for name, until in found}
        except (RedisError, OSError):
            _shared = {}
    return _shared.get(_name(spec), 0.0) - time.time() if _shared else 0.0


def _tell(spec: ProviderSpec, until: float) -> None:
    """Tell the other processes, from a thread: whoever found it may be an event loop."""
    bridge.pool().submit(_write, _name(spec), until)


def _write(name: str, until: float) -> None:
    try:
        client = valkey.client()
        client.zremrangebyscore(SHARED, 0, time.time())
        client.zadd(SHARED, {name: until}) if until else client.zrem(SHARED, name)
    except (RedisError, OSError) as error:
        log.warning("nobody could be told of a breaker", extra={"error": str(error)})


def _name(spec: ProviderSpec) -> str:
    """A name for exactly this provider that tells nothing of its key."""
    told = (spec.name, spec.kind, spec.base_url, spec.api_key)
    return salted_hmac("agents.breakers", repr(told)).hexdigest()
