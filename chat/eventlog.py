"""The event log of runs: numbered events in Valkey, appended by the worker that answers, followed by any process.

A run's log is one Valkey stream. An entry is a batch of events with consecutive numbers, stored under the number of
its last event; Valkey refuses a number that does not rise, which fences a worker that slept past its lease. In the
same script the batch is published on one feed that every web process reads once, whoever watches.

The log is speed, not truth. It always begins with an event at which a reader's text begins anew (`RESETS`); a reader
whose place it cannot serve is given a snapshot from the database and follows on.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec
from django.conf import settings
from redis.exceptions import RedisError

from agents.events import RESETS, TERMINAL, Event, RunCancelled, Status
from chat.models import Run
from core import valkey

log = logging.getLogger(__name__)

FEED = "feed"
CONTROL = "control"
SETTLED = "settled"


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive events of one run; the first has the number `first`."""

    run_id: str
    conversation_id: str
    first: int
    events: list[Event]

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.first + len(self.events) - 1


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Batch).decode

# KEYS: a log each; ARGV: milliseconds to keep, the feed's channel, then for each log a number, whether to set how long
# it is kept, and a batch. Gives 1 for each batch that was appended and 0 for each whose number did not rise.
APPEND = r"""
local written, results = {}, {}
for i, key in ipairs(KEYS) do
  local reply = redis.pcall('XADD', key, ARGV[3 * i] .. '-0', 'b', ARGV[3 * i + 2])
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'equal or smaller', 1, true) then return reply end
    results[i] = 0
  else
    results[i] = 1
    written[#written + 1] = ARGV[3 * i + 2]
    if ARGV[3 * i + 1] == '1' then redis.call('PEXPIRE', key, ARGV[1]) end
  end
end
if #written > 0 then redis.call('PUBLISH', ARGV[2], table.concat(written, '\n')) end
return results
"""


def key(run_id: str) -> str:
    """The name of a run's log in Valkey."""
    return f"run:{run_id}"


MESSAGE_BYTES = 262_144  # about what one script call writes and one message of the feed holds


def calls(batches: Sequence[tuple[Batch, bytes]]) -> Iterator[tuple[list[str], list[str | int | bytes]]]:
    """The keys and arguments of the `APPEND` calls that write encoded batches, none much over MESSAGE_BYTES."""
    keys: list[str] = []
    args: list[str | int | bytes] = []
    size = 0
    for batch, encoded in batches:
        if keys and size + len(encoded) > MESSAGE_BYTES:
            yield keys, args
            keys, size = [], 0
        if not keys:
            args = [int(settings.EVENT_LOG_SECONDS * 1000), FEED]
        keys.append(key(batch.run_id))
        # How long it is kept is set now and then, not each time: that would double what Valkey writes to its own log.
        edge = isinstance(batch.events[0], RESETS) or isinstance(batch.events[-1], TERMINAL)
        args += (batch.last, int(edge or batch.last % 50 < len(batch.events)), encoded)
        size += len(encoded)
    if keys:
        yield keys, args


def append(batch: Batch) -> None:
    """Append from a synchronous door; raises RedisError where Valkey is down. Workers use `chat.writer`."""
    for keys, args in calls([(batch, encode(batch))]):
        valkey.client().eval(APPEND, len(keys), *keys, *args)


def tell_cancelled(run: Run, *, seq: int, by: str) -> None:
    """Tell the watchers of a run that ended in line, before any worker took it."""
    answer = str(run.answer_id) if run.answer_id else None
    event = RunCancelled(message_id=answer, text=run.said, by=by, provider=run.provider, model=run.model)
    append(Batch(str(run.pk), str(run.conversation_id), seq, [event]))


NOBODY, CHANGED = str(UUID(int=0)), "changed"


def tell_changed(conversation_id: UUID) -> None:
    """Tell whoever watches a conversation that its title changed, that it was put away, or that it is gone.

    It is no event of a run, and so is in no log: who did not watch reads the row.
    """
    batch = Batch(NOBODY, str(conversation_id), 0, [Status("", CHANGED)])
    valkey.client().publish(FEED, encode(batch))


def ask_to_stop(run_id: UUID) -> None:
    """Tell the workers at once; should nobody hear it, the next checkpoint reads it from the row."""
    valkey.client().publish(CONTROL, str(run_id))


def drop(run_id: UUID) -> None:
    """Let go of a run's log: whoever reads it anew is given what the database has."""
    valkey.client().delete(key(str(run_id)))


def tell_settled(run_id: UUID) -> None:
    """Tell the worker that has the run that an action came to its end; should it not hear, it looks by itself."""
    try:
        valkey.client().publish(SETTLED, str(run_id))
    except (RedisError, OSError) as error:
        log.warning("nobody could be told of an action", extra={"run_id": str(run_id), "error": str(error)})


class Watch:
    """A reader's place at the feed: batches that came, bounded; what is too much is dropped and read from the log."""

    __slots__ = ("_batches", "_held", "_waiter", "missed")
    HOLD = 65_536  # bytes that are kept for a reader who does not wait for them

    def __init__(self, *, missed: bool) -> None:
        self.missed = missed
        self._held = 0
        self._batches: list[Batch] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, batch: Batch, size: int) -> None:
        """Hand over a batch of so many bytes, or note that the reader is too slow to be handed anything."""
        self._held += size
        if self._held > self.HOLD and self._waiter is None:
            self.miss()
            return
        self._batches.append(batch)
        self._wake()

    def miss(self) -> None:
        """Say that the feed may have carried something that this reader did not get."""
        self._batches.clear()
        self._held = 0
        self.missed = True
        self._wake()

    def take(self) -> list[Batch]:
        """All that came since the last time."""
        taken, self._batches, self._held = self._batches, [], 0
        return taken

    @property
    def news(self) -> bool:
        """Whether there is something to take, or to read from the log."""
        return bool(self._batches or self.missed)

    async def wait(self, seconds: float) -> bool:
        """Whether anything came, waiting for it as long as that."""
        if self.news:
            return True
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
        return self.news

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Feed:
    """This process's one subscription, and who watches what. `watch` may be called from any thread."""

    def __init__(self) -> None:
        self._watches: dict[bytes, list[Watch]] = {}
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        """Begin to read the feed in the running loop, once."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._read())

    async def stop(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def watch(self, subject: str) -> Watch:
        """A place at the feed for a run's or a conversation's batches; `unwatch` gives it up."""
        watch = Watch(missed=not self.connected)
        self._watches.setdefault(subject.encode(), []).append(watch)
        return watch

    def unwatch(self, subject: str, watch: Watch) -> None:
        """Give the place up."""
        places = self._watches.get(subject.encode(), [])
        if watch in places:
            places.remove(watch)
        if not places:
            self._watches.pop(subject.encode(), None)

    @property
    def watchers(self) -> int:
        """How many watch through this process."""
        return sum(len(places) for places in self._watches.values())

    async def _read(self) -> None:
        delay = 0.05
        while True:
            client = valkey.async_client(retries=0)
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(FEED)
                    await pubsub.get_message(timeout=1)  # the subscription's confirmation
                    self._everyone_missed(connected=True)
                    delay = 0.05
                    while True:
                        message = await pubsub.get_message(timeout=30)
                        if message is not None:
                            self._dispatch(message["data"])
            except (RedisError, OSError, TimeoutError) as error:
                if self.connected:
                    log.warning("the feed was lost; reading it again", extra={"error": str(error)})
                self._everyone_missed(connected=False)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 1.0)
            finally:
                await client.aclose()

    def _everyone_missed(self, *, connected: bool) -> None:
        self.connected = connected
        for places in list(self._watches.values()):
            for watch in places:
                watch.miss()

    def _dispatch(self, data: bytes) -> None:
        watches = self._watches
        for line in data.split(b"\n"):
            # A batch begins ["<run id>","<conversation id>", — so nothing is decoded that nobody here watches.
            places = watches.get(line[2:38], ())
            others = watches.get(line[41:77], ())
            if places or others:
                batch = decode(line)
                for watch in (*places, *others):
                    watch.put(batch, len(line))


feed = Feed()
