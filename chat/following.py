"""Following a run: what is in the log after the reader's place, then what comes; the database where the log cannot say.

`follow` promises each reader that its text ends as the stored answer: nothing is missed, nothing comes twice, and one
terminal event ends it.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator
from typing import Any

import redis.asyncio
from django.conf import settings
from django.db import Error as DbError
from redis.exceptions import RedisError

from agents.events import (
    RESETS,
    TERMINAL,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunWaiting,
    Snapshot,
)
from chat.eventlog import Batch, Watch, decode, feed, key
from chat.models import ENDED, WAITING, RunState
from chat.services import standings
from core import bridge, valkey

log = logging.getLogger(__name__)

Numbered = tuple[int, Event]

PAGE = 200  # batches that are read from a log at a time
SILENCE = 3.0  # seconds after which a silent run is looked up in log and database, doubled each time it stays silent
LONGEST_SILENCE = 15.0
RECHECK = 0.5  # seconds until a gap that neither log nor database can close yet is looked at again

_client: redis.asyncio.Redis | None = None


def _log_client() -> redis.asyncio.Redis:
    global _client
    if _client is None:
        _client = valkey.async_client()
    return _client


class Place:
    """Where a reader is: a pure object that says of each batch what is new, or that something is missing before it."""

    __slots__ = ("last", "missing", "more")

    def __init__(self, after: int) -> None:
        self.last = after
        self.missing = False
        self.more = False

    def accept(self, batch: Batch) -> list[Numbered]:
        """The events that are new to this reader; none, with `missing` set, where earlier ones were not seen."""
        if batch.last <= self.last:
            return []
        fresh = [(batch.first + i, event) for i, event in enumerate(batch.events) if batch.first + i > self.last]
        if fresh[0][0] > self.last + 1:
            # A gap: reading may go on at an event that begins the text anew.
            resets = [i for i, (_, event) in enumerate(fresh) if isinstance(event, RESETS)]
            if not resets:
                self.missing = True
                return []
            fresh = fresh[resets[-1] :]
        elif isinstance(fresh[0][1], Snapshot) and self.last > 0:
            self.last = fresh[0][0]  # it repeats what this reader has seen to the end
            fresh = fresh[1:]
        self.missing = False
        if fresh:
            self.last = fresh[-1][0]
        return fresh


class Patience:
    """How long a reader of a run that waits for people, or for its client, stays: a pure object.

    What says that the run waits ends the stream, and so is held back until then; it is dropped when the run goes on.
    With no seconds at all it is told at once, each time that it is found to be so, and ends nothing.
    """

    __slots__ = ("_for_client", "_seconds", "until", "waits")

    def __init__(self, seconds: float | None, for_client: float = 0) -> None:
        self._seconds = seconds
        self._for_client = for_client
        self.waits: RunWaiting | None = None
        self.until = math.inf

    def sift(self, news: list[Numbered], now: float) -> list[Numbered]:
        """The news, without what is held back."""
        if self._seconds is None:
            return news
        for _, event in news:
            if isinstance(event, RunWaiting):
                if self.waits is None or bool(self.waits.calls) != bool(event.calls):
                    self.until = now + (self._for_client if event.calls else self._seconds)
                self.waits = event
            elif not isinstance(event, ApprovalRequested | ApprovalDecided):
                self.waits, self.until = None, math.inf
        return [numbered for numbered in news if not isinstance(numbered[1], RunWaiting)]


async def follow(
    run_id: str,
    *,
    after: int = 0,
    watch: Watch | None = None,
    idle: float | None = None,
    wait: float | None = 0,
    wait_for_client: float = 0,
) -> AsyncGenerator[list[Numbered]]:
    """The run's events after the number `after`, replayed and then live, up to the one that ends the stream.

    An empty list comes after each `idle` seconds of silence. A `watch` taken before the run was committed saves the
    replay. Where the run waits for approval the stream goes on for up to `wait` seconds and ends by saying so; where
    `wait` is None it says so and goes on. It waits `wait_for_client` seconds for calls that its client makes.
    """
    feed.start()
    watched = watch or feed.watch(run_id)
    if watch is None:
        watched.missed = True
    place = Place(after)
    idle = idle or settings.KEEP_ALIVE_SECONDS
    patience = Patience(wait, wait_for_client)
    spoke, silence = time.monotonic(), SILENCE
    check = spoke + silence
    try:
        while True:
            news = [numbered for batch in watched.take() for numbered in place.accept(batch)]
            if watched.missed:
                watched.missed = False
                news += await _replay(run_id, place, waits=patience.waits is not None)
                watched.missed = watched.missed or place.more  # the next page, once this one is taken
            now = time.monotonic()
            news = patience.sift(news, now)
            if news:
                spoke, silence = now, SILENCE
                check = spoke + silence
                yield news
                if isinstance(news[-1][1], TERMINAL):
                    return
            now = time.monotonic()
            if patience.waits is not None and now >= patience.until and not watched.news:
                yield [(place.last, patience.waits)]
                return
            if now - spoke >= idle:
                spoke = now
                yield []
            if now >= check:
                silence = min(silence * 2, LONGEST_SILENCE)
                check = now + silence
                watched.missed = True  # nothing came: look at the log and the row
                continue
            until = min(spoke + idle, check, patience.until, now + RECHECK if place.missing else check)
            if not await watched.wait(max(until - now, 0.001)) and place.missing:
                watched.missed = True
    finally:
        feed.unwatch(run_id, watched)


async def _replay(run_id: str, place: Place, *, waits: bool) -> list[Numbered]:
    """What the log has after the reader's place; where it has a gap or nothing, what the database has."""
    news = await _read_log(run_id, place)
    if news and not place.missing:
        return news
    try:
        stands = await bridge.in_thread(standings.standing, run_id)
    except DbError as error:
        log.warning("a run cannot be looked up; it is tried again", extra={"run_id": run_id, "error": str(error)})
        place.missing = True
        return news
    if stands is not None and place.last < stands.seq:
        # Looked at again: what the database tells of may have come into the log meanwhile, and is better told by it.
        news += await _read_log(run_id, place)
    if news and isinstance(news[-1][1], TERMINAL):
        return news
    return news + _from_database(stands, place, waits=waits or any(isinstance(told, RunWaiting) for _, told in news))


async def _read_log(run_id: str, place: Place) -> list[Numbered]:
    """What the log has; where Valkey does not answer, something is missing."""
    try:
        return await _from_log(run_id, place)
    except (RedisError, OSError):
        place.missing, place.more = True, False
        return []


async def _from_log(run_id: str, place: Place) -> list[Numbered]:
    """One page of the log after the reader's place; `place.more` says whether it goes on."""
    # Shielded: a command that is cancelled half way spoils its connection, and the driver may swallow the cancel.
    page = asyncio.shield(_log_client().xrange(key(run_id), min=f"{place.last + 1}-0", count=PAGE))
    entries: Any = await page
    news: list[Numbered] = []
    for _, fields in entries:
        news += place.accept(decode(fields[b"b"]))
    place.more = len(entries) == PAGE and not place.missing
    return news


def _from_database(stands: standings.Standing | None, place: Place, *, waits: bool) -> list[Numbered]:
    """A snapshot where the reader lacks something that is stored, and what the run ended with or waits for."""
    if stands is None:
        return [(place.last + 1, RunFailed("deleted", "The run was deleted.", False))]
    news: list[Numbered] = []
    ended = stands.state in ENDED
    covered = stands.seq - 1 if ended else stands.seq
    if stands.attempt > 0 and place.last < covered:
        if place.last <= 0:
            started = RunStarted(stands.conversation_id, stands.companion, stands.provider, stands.model)
            news.append((covered, started))
        news.append((covered, Snapshot(stands.attempt, stands.text, stands.reasoning)))
        place.last, place.missing = covered, False
        news += [(covered, call.event) for call in stands.called]
        news += [(covered, asked.event) for asked in stands.waits_for]
    if stands.state in WAITING and not waits:
        asked_for = [str(asked.approval_id) for asked in stands.waits_for]
        calls = [one.told for one in stands.called]
        news.append((place.last, RunWaiting(asked_for, stands.text, stands.provider, stands.model, calls)))
    if ended:
        place.missing = False
        news.append((stands.seq, _terminal(stands)))
    return news


def _terminal(stands: standings.Standing) -> Event:
    """The event that ended a run, told from its row."""
    if stands.state == RunState.COMPLETED:
        return RunCompleted(stands.message_id or "", stands.text, stands.provider, stands.model)
    if stands.state == RunState.CANCELLED:
        return RunCancelled(stands.message_id, stands.text, provider=stands.provider, model=stands.model)
    return RunFailed(stands.error_code, stands.error_message, standings.retryable(stands.error_code))
