"""What processes count together: added up in memory, once a second in Valkey, and told by whichever web is asked.

Any number of webs and workers count the same things, on any machines, and a worker has no door of its own. So each
adds what it counted to one hash in Valkey, from a thread of its own, and the sums are those of the whole installation.
Should Valkey lose them they begin anew at zero, which those who read counters know; while it is away, they are kept.
"""

import atexit
import json
import logging
import threading
import time
from bisect import bisect_left
from collections import Counter as Sums
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from core import valkey

log = logging.getLogger(__name__)

KEY = "metrics"
FLUSH_SECONDS = 1.0
SUM = "sum"  # of a histogram, in whole microseconds, because integers add up to the same in any order
MICRO = 1_000_000

Labels = tuple[str, ...]
Place = tuple[str, Labels, str]  # of a number: a metric, its labels, and which of a histogram's numbers


@dataclass(frozen=True, slots=True)
class Counter:
    """What only rises. Labels have few values: never an id, a person, or what somebody wrote."""

    name: str
    about: str
    labels: Labels = ()

    def add(self, *labels: str, by: int = 1) -> None:
        """Count; for any thread and any event loop: it waits for nothing."""
        _add(((self.name, labels, ""), by))


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took, as numbers of those that took at most so many seconds."""

    name: str
    about: str
    bounds: Sequence[float]
    labels: Labels = ()

    def observe(self, seconds: float, *labels: str) -> None:
        """Count one; for any thread and any event loop: it waits for nothing."""
        seconds = max(0.0, seconds)
        bucket = str(bisect_left(self.bounds, seconds))
        _add(((self.name, labels, bucket), 1), ((self.name, labels, SUM), round(seconds * MICRO)))


_pending: Sums[Place] = Sums()
_lock = threading.Lock()
_flushing = threading.Lock()
_some = threading.Event()
_thread: threading.Thread | None = None
_away = False


def _add(*amounts: tuple[Place, int]) -> None:
    global _thread
    with _lock:
        for place, by in amounts:
            _pending[place] += by
        if _thread is None:
            _thread = threading.Thread(target=_flush_for_ever, name="metrics", daemon=True)
            _thread.start()
            atexit.register(_flush_at_the_end)
    if not _some.is_set():
        _some.set()


def _flush_for_ever() -> None:
    while True:
        _some.wait()
        time.sleep(FLUSH_SECONDS)
        _some.clear()
        flush()


def flush() -> None:
    """Add to Valkey what was counted since the last time; what cannot be added now is kept."""
    global _pending, _away
    with _flushing:
        with _lock:
            taken, _pending = _pending, Sums()
        try:
            _store(taken)
            _away = False
        except (RedisError, OSError) as error:
            with _lock:
                _pending.update(taken)
            _some.set()
            if not _away:
                log.warning("what was counted is kept until Valkey answers", extra={"error": str(error)})
            _away = True


def _flush_at_the_end() -> None:
    """What cannot be added now is lost with the process, of which nobody needs to be warned."""
    global _away
    _away = True
    flush()


def _store(taken: Mapping[Place, int]) -> None:
    """Add all of it or nothing; a reply that is lost lets it be added twice, which only Valkey's crash can do."""
    if not taken:
        return
    pipeline = valkey.client().pipeline(transaction=True)
    for (name, labels, part), by in taken.items():
        pipeline.hincrby(KEY, json.dumps([name, *labels, part], separators=(",", ":")), by)
    pipeline.execute()


def read(stored: Iterable[tuple[Any, Any]]) -> dict[str, dict[Labels, dict[str, int]]]:
    """The sums, by metric, labels and part, of the fields of the hash; what is none of ours is passed over."""
    found: dict[str, dict[Labels, dict[str, int]]] = {}
    for field, value in stored:
        try:
            name, *labels, part = json.loads(field)
            found.setdefault(name, {}).setdefault(tuple(labels), {})[part] = int(value)
        except (ValueError, TypeError):
            continue
    return found
