"""The open pages of one person: how many there may be, and one look at the database for all of them in this process.

A place is leased in Valkey, on its clock: that of a process that died is free again after a while.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from redis import Redis
from redis.commands.core import Script

from approvals.live import channel
from core import bridge, valkey
from core.errors import RateLimited

MOST = 50  # open pages of one person
LEASE_MS = 180_000

# KEYS: the person's places. ARGV: the place, how many there may be, the lease in ms. Returns whether the place is held.
_TAKE = """
local time = server.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
server.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local held = server.call('ZSCORE', KEYS[1], ARGV[1])
if not held and server.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
server.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
server.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

T = TypeVar("T")


class TooMany(RateLimited):
    """The person has as many pages open as are told of changes; further ones look by themselves."""

    default_detail = f"At most {MOST} open pages of one person are told of changes."


def take(person_id: object, place: UUID) -> None:
    """Take a place, or keep it for another while; raises TooMany, or RedisError."""
    if not _script(valkey.quick())(keys=[_name(person_id)], args=[str(place), MOST, LEASE_MS]):
        raise TooMany


def leave(person_id: object, place: UUID) -> None:
    """Give the place up; may raise RedisError."""
    valkey.quick().zrem(_name(person_id), str(place))


class Look(Generic[T]):
    """What the pages of one person are told: read once for all of them after each word that they hear."""

    def __init__(self) -> None:
        self._reading = asyncio.Lock()
        self._found: T | None = None
        self._word = -1  # that had been heard when it was read

    async def since(self, word: int | None, read: Callable[[], T]) -> T:
        """What `read` gives, in a thread, after this word was heard, or now; raises what it raises."""
        async with self._reading:
            if self._found is None or word is None or self._word < word:
                heard = channel.words
                self._found = await bridge.in_thread(read)
                self._word = heard
            return self._found


_looks: WeakValueDictionary[object, Look[Any]] = WeakValueDictionary()


def look(key: object) -> Look[Any]:
    """The look of who is named by the key, for as long as a page of theirs holds it."""
    return _looks.setdefault(key, Look())


def _name(person_id: object) -> str:
    return f"approvals:pages:{person_id}"


@cache
def _script(client: Redis) -> Script:
    return client.register_script(_TAKE)
