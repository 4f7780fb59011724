"""Valkey, the speed: synchronous clients for this process, asynchronous ones for who owns an event loop."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError
from redis.retry import Retry

from core.errors import Unavailable

_client: redis.Redis | None = None
_quick: redis.Redis | None = None


def client() -> redis.Redis:
    """This process's synchronous client: pooled, with short timeouts."""
    global _client
    if _client is None:
        _client = _connect(socket_timeout=2, socket_connect_timeout=1)
    return _client


def quick() -> redis.Redis:
    """A client for what every request waits on, such as a rate limit: it gives up after 0.25 seconds."""
    global _quick
    if _quick is None:
        _quick = _connect(socket_timeout=0.25, socket_connect_timeout=0.25)
    return _quick


@contextmanager
def needed() -> Iterator[None]:
    """Around what cannot be done without Valkey: raises Unavailable where it does not answer."""
    try:
        yield
    except RedisError as error:
        raise Unavailable("A part of the service does not answer; try again.") from error


def async_client(*, retries: int = 1) -> redis.asyncio.Redis:
    """A new asynchronous client, that belongs to the running event loop and is closed by who asked for it.

    Whoever must know that a connection was lost takes no retries: a command that is sent twice, or a subscription that
    is renewed in silence, would hide it.
    """
    retry = AsyncRetry(NoBackoff(), retries, supported_errors=(ConnectionLost,))
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=1, health_check_interval=0, retry=retry
    )


def _connect(**timeouts: float) -> redis.Redis:
    # One retry at once, of a lost connection only: a pooled one is dead after Valkey restarts. The library's
    # own default, three retries with seconds between them, would hold the request's thread.
    retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,))
    return redis.Redis.from_url(settings.REDIS_URL, health_check_interval=0, retry=retry, **timeouts)
