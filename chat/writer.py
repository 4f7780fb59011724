"""The worker's end of the event log: events of all its runs, gathered for a moment and appended in one round trip.

The first words of an answer go out at once. Later ones wait for the window, which grows with the number of runs up
to `EVENT_WINDOW_MS`, and neighbouring deltas become one event: the more a worker does, the less each token costs.
While Valkey is away events are kept; when it is back, each run first appends a snapshot of what it had said, because
nobody can tell how much of its log survived.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from redis.exceptions import RedisError, ResponseError

from agents.events import Event, ReasoningDelta, Snapshot, TextDelta
from chat import transcript
from chat.eventlog import APPEND, Batch, calls, encode
from core import measures, valkey

log = logging.getLogger(__name__)

PER_RUN_MS = 0.6  # how much each active run widens the window
EVENT_TEXT = 8_192  # characters of one delta; longer ones are cut, so that a slow reader is held little at a time
BATCH_EVENTS = 4
DELTAS = (TextDelta, ReasoningDelta)
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5)


class RunLog:
    """One attempt's events on their way to the log, and the answer so far."""

    __slots__ = (
        "_pending",
        "_run",
        "_told",
        "_writer",
        "attempt",
        "began",
        "settled",
        "fenced",
        "spoilt",
        "lost",
        "parts",
        "seq",
        "spoke",
    )

    def __init__(self, writer: "Writer", run_id: UUID, conversation_id: UUID, attempt: int, seq: int) -> None:
        self._writer = writer
        self._run = (str(run_id), str(conversation_id))
        self._pending: list[Event] = []
        self._told: list[tuple[Event, dict[str, Any]]] = []
        self.attempt = attempt
        self.seq = seq
        """The number of the last event handed to the log."""
        self.parts: list[dict[str, Any]] = []
        """The answer as far as it is numbered: texts as lists of pieces, joined when they are read."""
        self.spoke = False
        self.lost = False
        self.settled = False
        self.began: Callable[[], None] | None = None
        self.fenced: Callable[[], None] | None = None
        self.spoilt: Callable[[], None] | None = None

    def append(self, event: Event) -> None:
        """Put an event behind those that wait; a delta joins the delta before it."""
        pending = self._pending
        first = not self.spoke
        if isinstance(event, DELTAS):
            if first:
                self.spoke = True
                if self.began is not None:
                    self.began()
            last = pending[-1] if pending else None
            if (
                type(last) is type(event)
                and last.speaker == event.speaker
                and len(last.text) + len(event.text) <= EVENT_TEXT
            ):
                pending[-1] = type(event)(last.text + event.text, event.speaker)
                return
            while len(event.text) > EVENT_TEXT:
                pending.append(type(event)(event.text[:EVENT_TEXT], event.speaker))
                event = type(event)(event.text[EVENT_TEXT:], event.speaker)
        pending.append(event)
        self._writer.wants(self, at_once=first or not isinstance(event, DELTAS))

    def draft(self) -> list[dict[str, Any]]:
        """The parts of the answer up to `seq`."""
        for part in self.parts:
            if "pieces" in part:
                part["pieces"] = ["".join(part["pieces"])]
        return [_read(part) if "pieces" in part else part for part in self.parts]

    def resume(self, parts: Sequence[dict[str, Any]]) -> None:
        """Begin with what was said and done before, of which nothing is told again."""
        self.parts = [_written(part) if "text" in part else dict(part) for part in parts]

    def tell(self, event: Event, part: dict[str, Any]) -> None:
        """Put an event behind those that wait that stands in the answer as this part."""
        self.append(event)
        self._told.append((event, part))

    def note(self, part: dict[str, Any]) -> None:
        """Let this part stand in the answer, of which those who watch are told later."""
        self._send()
        self.parts.append(part)

    def settle(self) -> None:
        """Number all that waits and send it on, so that `draft` is the whole answer and `seq` its end.

        What comes after is numbered from there on, so no snapshot may come between, until `go_on`: readers are told by
        the database.
        """
        self.settled = True
        self._send()

    def _send(self) -> None:
        for batch in self.take():
            self._writer.send(self, batch)

    def go_on(self) -> None:
        """The answer goes on after all."""
        self.settled = False

    def take(self) -> list[Batch]:
        """What waits as batches, numbered, none much larger than a reader's place at the feed can be.

        What they hold counts as said from now on.
        """
        events = self._pending
        if self.lost and not self.settled:
            parts = self.draft()
            whole = Snapshot(self.attempt, transcript.text(parts), transcript.text(parts, "reasoning"))
            events = [whole, *events]
        self.lost = False
        batches = []
        for start in range(0, len(events), BATCH_EVENTS):
            some = events[start : start + BATCH_EVENTS]
            batches.append(Batch(*self._run, self.seq + 1, some))
            self.seq += len(some)
        self._absorb(self._pending)
        self._pending = []
        return batches

    def _absorb(self, events: list[Event]) -> None:
        for event in events:
            if self._told and event is self._told[0][0]:
                self.parts.append(self._told.pop(0)[1])
            elif isinstance(event, DELTAS):
                kind = "text" if isinstance(event, TextDelta) else "reasoning"
                place = event.speaker.place if event.speaker else None
                last = self.parts[-1] if self.parts else {"type": ""}
                if last["type"] != kind or last.get("place") != place:  # a part of a tool ends a text too
                    by = msgspec.structs.asdict(event.speaker) if event.speaker else {}
                    self.parts.append({"type": kind, **by, "pieces": []})
                self.parts[-1]["pieces"].append(event.text)

    def begin_anew(self, event: Event) -> None:
        """Drop the answer so far; the event lets readers do so too."""
        self.settle()
        self.go_on()
        self.parts = []
        self.append(event)


class Writer:
    """Appends the batches of all runs of this process; belongs to one event loop."""

    def __init__(self) -> None:
        self._client = valkey.async_client(retries=0)
        self._script = self._client.register_script(APPEND)
        self._runs: set[RunLog] = set()
        self._dirty: set[RunLog] = set()
        self._first: set[RunLog] = set()  # of them those that do not wait for the window
        self._outbox: list[tuple[RunLog, Batch]] = []
        self._behind: float | None = None  # since when there is something that was not appended yet
        self._urgent = asyncio.Event()
        self._some = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._flush_for_ever())

    def open(self, run_id: UUID, conversation_id: UUID, attempt: int, seq: int) -> RunLog:
        """The log of an attempt whose events are numbered above `seq`."""
        run = RunLog(self, run_id, conversation_id, attempt, seq)
        self._runs.add(run)
        return run

    def close(self, run: RunLog) -> None:
        """The attempt is over: what still waits goes out."""
        run.settled = True
        self._runs.discard(run)

    def wants(self, run: RunLog, *, at_once: bool) -> None:
        """Note that a run has events waiting."""
        self._dirty.add(run)
        self._some.set()
        if at_once:
            self._first.add(run)
            self._urgent.set()

    def send(self, run: RunLog, batch: Batch) -> None:
        """Take a batch that is numbered already."""
        self._outbox.append((run, batch))
        self._some.set()
        self._urgent.set()

    @property
    def window(self) -> float:
        """Seconds that deltas are gathered for now."""
        return min(settings.EVENT_WINDOW_MS, len(self._runs) * PER_RUN_MS) / 1000

    async def stop(self) -> None:
        """Append what waits and end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._flush()
        await self._client.aclose()

    async def _flush_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        failures, flushed = 0, 0.0
        while True:
            await self._some.wait()
            left = flushed + self.window - loop.time()
            if left > 0 and not self._urgent.is_set():
                timer = loop.call_later(left, self._urgent.set)
                await self._urgent.wait()
                timer.cancel()
            due = loop.time() >= flushed + self.window
            flushed = loop.time() if due else flushed
            try:
                appended = await self._flush(everything=due)
            except Exception:
                log.exception("events could not be appended")
                appended = self._lose(())
            if appended:
                failures = 0
            else:
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1

    async def _flush(self, *, everything: bool = True) -> bool:
        """Append all that waits, or only what cannot wait; False where Valkey does not answer.

        After that every run tells its text again, because nobody knows how much of its log is left.
        """
        self._urgent.clear()
        dirty = self._dirty if everything else self._first
        self._dirty = set() if everything else self._dirty - dirty
        self._first = set()
        if not self._dirty:
            self._some.clear()
        outbox, self._outbox = self._outbox, []
        taken = list(_encoded([*outbox, *((run, batch) for run in dirty for batch in run.take())]))
        if not taken:
            return True
        self._behind = self._behind or time.monotonic()
        results: list[int] | None = None
        written: list[int] = []
        try:
            for keys, args in calls([(batch, encoded) for _, batch, encoded in taken]):
                written += await self._script(keys=keys, args=args)
            results = written
        except ResponseError:
            log.exception("Valkey refused to append events")
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("events could not be appended; they are kept", extra={"error": str(error)})
        if results is None:
            return self._lose(dirty)
        measures.LOG_SECONDS.observe(time.monotonic() - self._behind)
        self._behind = None
        for (run, _, _), appended in zip(taken, results, strict=True):
            if not appended and run.fenced is not None:
                run.fenced()
        return True

    def _lose(self, dirty: Collection[RunLog]) -> bool:
        """Let all runs tell their texts again; False, always."""
        for run in {*self._runs, *dirty}:
            run.lost = True
            self.wants(run, at_once=True)
        return False


def _encoded(batches: Sequence[tuple[RunLog, Batch]]) -> Iterator[tuple[RunLog, Batch, bytes]]:
    """The batches as they are written; one that cannot be is left out, and its run told."""
    for run, batch in batches:
        try:
            yield run, batch, encode(batch)
        except Exception:  # whatever is wrong with one: it must not silence the others
            log.exception("an event could not be encoded", extra={"run_id": batch.run_id})
            if run.spoilt is not None:
                run.spoilt()


def _read(part: dict[str, Any]) -> dict[str, Any]:
    """A text as it is stored; its pieces were joined before."""
    return {**{name: value for name, value in part.items() if name != "pieces"}, "text": part["pieces"][0]}


def _written(part: dict[str, Any]) -> dict[str, Any]:
    """A stored text as it is written on."""
    return {**{name: value for name, value in part.items() if name != "text"}, "pieces": [part["text"]]}
