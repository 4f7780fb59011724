"""Telling open pages that approvals of a workspace have changed: they look again, and nothing else is said.

One channel of Valkey carries workspace ids; each web process reads it once, for all its pages. A word that is lost
costs time only: a page looks again by itself every now and then.
"""

import asyncio
import logging
from uuid import UUID

from redis.exceptions import RedisError

from core import commits, valkey

log = logging.getLogger(__name__)

CHANNEL = "approvals"
FIRST_DELAY, LONGEST_DELAY = 0.05, 1.0


def changed(workspace_id: UUID) -> None:
    """Say, once the transaction at hand is committed, that an approval of the workspace came or changed."""
    commits.after(_say, workspace_id)


def _say(workspace_id: UUID) -> None:
    try:
        valkey.quick().publish(CHANNEL, str(workspace_id))
    except (RedisError, OSError) as error:
        log.warning("open pages could not be told; they look by themselves", extra={"error": str(error)})


class Page:
    """A page that wants to hear of these workspaces, or of every one (None)."""

    __slots__ = ("_event", "lost", "word", "workspaces")

    def __init__(self, workspaces: frozenset[UUID] | None) -> None:
        self.workspaces = workspaces
        self.word = 0  # the number of the last one that was for it
        self.lost = False  # the channel is: what comes meanwhile is not heard
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Have `heard` return."""
        self._event.set()

    async def heard(self, seconds: float) -> bool:
        """Whether anything was said since the last time, waiting for it as long as that."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Channel:
    """This process's one subscription and the pages that hear it; used on the event loop alone."""

    def __init__(self) -> None:
        self.words = 0  # that were heard so far
        self._pages: set[Page] = set()
        self._task: asyncio.Task[None] | None = None
        self._reading = asyncio.Event()

    async def open(self, workspaces: frozenset[UUID] | None, *, within: float = 2.0) -> Page | None:
        """A place at the channel, to be given up with `close`; None where the channel cannot be read now."""
        if self._task is None or self._task.done() or self._task.get_loop() is not asyncio.get_running_loop():
            self._reading = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._read())
        try:
            async with asyncio.timeout(within):
                await self._reading.wait()
        except TimeoutError:
            return None
        page = Page(workspaces)
        self._pages.add(page)
        return page

    def close(self, page: Page) -> None:
        """Give the place up."""
        self._pages.discard(page)

    async def stop(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _read(self) -> None:
        delay = FIRST_DELAY
        while True:
            client = valkey.async_client(retries=0)
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    await pubsub.get_message(timeout=1)  # the subscription's confirmation
                    self._reading.set()
                    delay = FIRST_DELAY
                    while True:
                        message = await pubsub.get_message(timeout=30)
                        if message is not None:
                            self._tell(message["data"])
            except (RedisError, OSError, TimeoutError) as error:
                if self._reading.is_set():
                    log.warning("the channel of approvals was lost", extra={"error": str(error)})
                self._lose()
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
            finally:
                await client.aclose()

    def _tell(self, data: bytes) -> None:
        try:
            workspace = UUID(data.decode("ascii"))
        except ValueError:
            return
        self.words += 1
        for page in self._pages:
            if page.workspaces is None or workspace in page.workspaces:
                page.word = self.words
                page.wake()

    def _lose(self) -> None:
        self._reading.clear()
        for page in self._pages:
            page.lost = True
            page.wake()


channel = Channel()
