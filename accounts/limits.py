"""Rate limits that are exact: counted by one script in Valkey, on Valkey's clock.

A limit counts the requests of a window of a minute, which begins with a caller's first. Where Valkey is away, what
must not be guessed at (logins, decisions) is refused with 503, and everything else goes on unlimited.
"""

import logging
import threading
import time
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from redis import Redis
from redis.commands.core import Script
from redis.exceptions import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.models import Actor, KeyKind
from core import valkey
from core.errors import RateLimited, Unavailable

log = logging.getLogger(__name__)

WINDOW_MS = 60_000

# KEYS: the counter. ARGV: the limit and the window in ms. Returns: allowed, how many are left, ms to the window's end.
# What is over the limit is not counted, so that the counter stays small. A counter always has an end.
_SCRIPT = """
local count = tonumber(server.call('GET', KEYS[1]) or '0')
local left = server.call('PTTL', KEYS[1])
if left < 0 then
  server.call('SET', KEYS[1], 0, 'PX', ARGV[2])
  count, left = 0, tonumber(ARGV[2])
end
if count >= tonumber(ARGV[1]) then return {0, 0, left} end
server.call('INCR', KEYS[1])
return {1, tonumber(ARGV[1]) - count - 1, left}
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limiter says: whether to go on, how many are left, and the seconds until all are free again."""

    allowed: bool
    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell the caller."""
        told = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }
        return told if self.allowed else {**told, "Retry-After": str(self.reset)}


class _Breaker:
    """After a failure, spares the callers their wait: one of them tries again each second, the others do not."""

    def __init__(self, pause: float) -> None:
        self._pause, self._closed_at, self._lock = pause, 0.0, threading.Lock()

    def lets_through(self) -> bool:
        """Whether this caller may try."""
        if not self._closed_at:
            return True
        with self._lock:
            if time.monotonic() < self._closed_at:
                return False
            self._closed_at = time.monotonic() + self._pause
            return True

    def failed(self) -> None:
        """A try failed."""
        self._closed_at = time.monotonic() + self._pause

    def worked(self) -> None:
        """A try worked."""
        self._closed_at = 0.0


breaker = _Breaker(pause=1.0)


def hit(bucket: str, *, limit: int, who: str, fail_closed: bool, window_ms: int = WINDOW_MS) -> Verdict:
    """Count one request of `who` in the bucket; raises Unavailable without Valkey if it must fail closed."""
    if breaker.lets_through():
        try:
            allowed, remaining, left_ms = _run(f"limit:{bucket}:{who}", limit, window_ms)
        except RedisError as error:
            breaker.failed()
            log.warning("the rate limiter's Valkey does not answer: %s", error, extra={"bucket": bucket})
        else:
            breaker.worked()
            return Verdict(bool(allowed), limit, remaining, max(1, -(-left_ms // 1000)))
    if fail_closed:
        raise Unavailable("This cannot be done safely now; try again.", headers={"Retry-After": "1"})
    return Verdict(True, limit, limit, 0)


def forget(bucket: str, *, who: str) -> None:
    """Count from none again; raises Unavailable without Valkey."""
    with valkey.needed():
        valkey.quick().delete(f"limit:{bucket}:{who}")


def guard(bucket: str, *, limit: int, who: str, fail_closed: bool, request: HttpRequest) -> None:
    """Count one request and let its response tell; raises RateLimited where the limit is reached."""
    verdict = hit(bucket, limit=limit, who=who, fail_closed=fail_closed)
    told = getattr(request, "response_headers", {})
    if int(told.get("RateLimit-Remaining", verdict.remaining)) >= verdict.remaining:
        told.update(verdict.headers)  # of several limits, the tightest is told
    if not verdict.allowed:
        raise RateLimited(f"Try again in {verdict.reset} seconds.", headers=verdict.headers)


def count_page(request: HttpRequest, actor: Actor, *, changes: str = "write", fail_closed: bool = False) -> None:
    """Count one request of a person's page, as `read` or as what `changes` names.

    Raises RateLimited, and without Valkey Unavailable for a change that must be counted (`fail_closed`).
    """
    safe = request.method in SAFE_METHODS
    bucket = "read" if safe else changes
    who = name_of(actor)
    guard(bucket, limit=settings.LIMITS[bucket], who=who, fail_closed=fail_closed and not safe, request=request)


class Limit(BaseThrottle):
    """DRF's throttle: the view's `limit_bucket`, or `read` and `write` by method, for each key and person."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or raises RateLimited; a view with `limit_fail_closed` raises Unavailable without Valkey."""
        _count_visitor(request)
        bucket = getattr(view, "limit_bucket", None) or ("read" if request.method in SAFE_METHODS else "write")
        guard(
            bucket,
            limit=settings.LIMITS[bucket],
            who=caller(request),
            fail_closed=getattr(view, "limit_fail_closed", False),
            request=request._request,
        )
        return True


def _count_visitor(request: Request) -> None:
    """Count for the address too where the key is a page's, which everybody has; raises RateLimited."""
    key = getattr(request.user, "key", None)
    if key is None or key.kind != KeyKind.PUBLISHABLE:
        return
    who = f"{key.line}:{address(request._request)}"
    guard("page", limit=settings.LIMITS["page"], who=who, fail_closed=False, request=request._request)


def name_of(actor: Actor) -> str:
    """A caller's name in a counter: the key and the person."""
    return f"{actor.key.pk if actor.key else '-'}:{actor.user.pk}"


def caller(request: Request) -> str:
    """Whom to count for: the key and person, or the address of who is neither; never what a header claims."""
    actor = request.user
    if isinstance(actor, Actor):
        return name_of(actor)
    return f"ip:{address(request._request)}"


def address(request: HttpRequest) -> str:
    """The peer's address; of IPv6 the /64, all of which one customer has."""
    text = request.META.get("REMOTE_ADDR") or ""
    try:
        found = ip_address(text)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ip_network(f"{found.exploded}/64", strict=False))
    return str(found)


def _run(name: str, limit: int, window_ms: int) -> tuple[int, int, int]:
    allowed, remaining, left_ms = _script(valkey.quick())(keys=[name], args=[limit, window_ms])
    return allowed, remaining, left_ms


@cache
def _script(client: Redis) -> Script:
    return client.register_script(_SCRIPT)
