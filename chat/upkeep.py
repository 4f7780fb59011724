"""What a worker does for memory beside its runs, and never at their cost: vectors, and facts.

One worker of all makes vectors at a time; which one is said in Valkey, and while Valkey is down each does, which costs
time and nothing else. Conversations to read are taken one by one (`memory.services.readings`).
"""

import asyncio
import logging
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from chat import learning
from core import bridge, valkey
from memory import embedders
from memory.embedders import EmbedderUnavailable
from memory.services import embedding, touching

log = logging.getLogger(__name__)

KEY = "upkeep:embedding"
LEASE_MS = 30_000
REST_SECONDS = 2.0
BATCH = 16
SHARE = 4  # beside runs, vectors and facts take one part in so many of a processor, or of the time


class Upkeep:
    """The upkeep of one worker; `busy` says whether it has runs at hand."""

    def __init__(self, name: str, busy: Callable[[], bool]) -> None:
        self._name = name
        self._busy = busy
        self._down = False

    async def embed(self) -> None:
        """Store what was recalled, make the vectors that are missing, then rest."""
        await bridge.in_slow_thread(touching.store)
        while await bridge.in_slow_thread(self._mine):
            began = time.monotonic()
            try:
                made = await bridge.in_slow_thread(embedding.embed_missing, BATCH)
            except EmbedderUnavailable as error:
                if not self._down:
                    log.warning(
                        "vectors cannot be made; memories are found by their words", extra={"why": error.detail}
                    )
                self._down = True
                break
            self._down = False
            if made < BATCH:
                break
            if self._busy():
                await asyncio.sleep((SHARE - 1) * (time.monotonic() - began))
        await asyncio.sleep(REST_SECONDS)

    async def learn(self) -> None:
        """Draw facts from the conversations that are due, then rest."""
        began = time.monotonic()
        while await learning.learn_due():
            if self._busy():
                await asyncio.sleep((SHARE - 1) * (time.monotonic() - began))
            began = time.monotonic()
        await asyncio.sleep(REST_SECONDS)

    def _mine(self) -> bool:
        """Whether this worker makes the vectors now."""
        if not embedders.current().dimensions:
            return False
        try:
            client = valkey.client()
            if client.set(KEY, self._name, nx=True, px=LEASE_MS):
                return True
            holder = client.get(KEY)
            if holder not in (self._name, self._name.encode()):
                return False
            client.pexpire(KEY, LEASE_MS)
        except (RedisError, OSError):
            return True
        return True
