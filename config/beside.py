"""What is asked beside the work: over connections of their own, within a short time, and once for all who ask.

No thread of a web process is taken for it, so that who asks whether something is wrong is answered when all of them
wait for what is wrong.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import psycopg
import redis.asyncio
from django.db import connection
from redis.exceptions import RedisError

from core import valkey

T = TypeVar("T")
SECONDS = 2.0
AWAY = (psycopg.Error, RedisError, OSError, TimeoutError)
"""What is raised where a server does not answer, or not in time."""

Rows = list[tuple[Any, ...]]


async def postgres(*statements: str, seconds: float = SECONDS) -> list[Rows]:
    """The rows of each statement; raises one of AWAY."""
    own = {name: value for name, value in connection.get_connection_params().items() if name not in _SYNCHRONOUS}
    async with asyncio.timeout(seconds), await psycopg.AsyncConnection.connect(**own) as opened:
        await opened.set_read_only(True)
        return [await (await opened.execute(statement)).fetchall() for statement in statements]


_SYNCHRONOUS = ("context", "cursor_factory")


@asynccontextmanager
async def valkeys(seconds: float = SECONDS) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of Valkey for the block; raises one of AWAY, from within the block too."""
    client: redis.asyncio.Redis = valkey.async_client(retries=0)
    try:
        async with asyncio.timeout(seconds):
            yield client
    finally:
        await client.aclose()


class Lately(Generic[T]):
    """What was found lately: looked for again after so many seconds, by one for all who ask meanwhile."""

    def __init__(self, look: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._look, self._seconds = look, seconds
        self._looking = asyncio.Lock()
        self._found: tuple[float, T] | None = None

    async def get(self) -> T:
        """What was found; raises what looking raises."""
        async with self._looking:
            if self._found is None or time.monotonic() - self._found[0] > self._seconds:
                found = await self._look()
                self._found = time.monotonic(), found
            return self._found[1]
