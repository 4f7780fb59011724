"""`make bench-adapters`: what each provider's adapter takes of a CPU for a chunk, and whether its memory stays flat.

Recorded bytes in, as they come off a socket, and events out: all of the adapter from its request to its last event,
with nothing but the transport replaced. What is heard is compared with what was sent.
"""

import argparse
import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from django.conf import settings

from benchmarks import proc, report
from benchmarks.recorded import RECORDINGS, WORD, Recording

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
START, END = "<!-- bench-adapters:start -->", "<!-- bench-adapters:end -->"
MOST_MICROSECONDS = 15
MOST_GROWTH = 0.1  # MB over the long stream
WARM = 2_000


class Transport:
    """In the place of an open answer: it has the recorded pieces for bytes, and no clock."""

    def __init__(self, media_type: str, pieces: Iterator[bytes]) -> None:
        self.media_type = media_type
        self._pieces = pieces

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        return next(self._pieces, b"")

    async def release(self) -> None:
        """Nothing is held."""

    def spoke(self) -> None:
        """Nobody waits."""

    def hurry(self, seconds: float) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An adapter: µs of CPU a chunk in each round, and MB that its memory grew by over a long stream."""

    kind: str
    rounds: list[float]
    growth: float

    def row(self) -> list[str]:
        """The line of the table."""
        typical = median(self.rounds)
        reached = typical <= MOST_MICROSECONDS and self.growth <= MOST_GROWTH
        spread = f"{typical:.1f} ({min(self.rounds):.1f}–{max(self.rounds):.1f})"
        return [self.kind, spread, f"≤ {MOST_MICROSECONDS}", f"{self.growth:.2f}", "yes" if reached else "**no**"]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters", description=__doc__)
    parser.add_argument("--chunks", type=int, default=20_000, help="of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--long", type=int, default=200_000, help="chunks of the stream that memory is watched over")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    return parser.parse_args(given)


def measure(recording: Recording, *, chunks: int, rounds: int, long: int) -> Measured:
    """All figures of one adapter."""
    asyncio.run(_listen(recording, WARM))
    took = []
    for _ in range(rounds):
        pieces = list(recording.pieces(chunks))
        gc.collect()
        before = time.process_time()
        asyncio.run(_listen(recording, chunks, pieces))
        took.append((time.process_time() - before) * 1e6 / len(pieces))
    tracemalloc.start()
    try:
        return Measured(recording.kind, took, asyncio.run(_listen(recording, long)))
    finally:
        tracemalloc.stop()


async def _listen(recording: Recording, chunks: int, pieces: list[bytes] | None = None) -> float:
    """Hear a whole stream, and see that it is what was sent; MB that memory grew by after its first tenth."""
    from agents.events import ReasoningDelta, TextDelta  # noqa: PLC0415  they need settings, which are there by now
    from agents.providers import abilities, ollama_models, provider_for, upstream  # noqa: PLC0415
    from agents.providers.base import ChatMessage, ChatRequest, ProviderSpec  # noqa: PLC0415

    spec = ProviderSpec(recording.kind, recording.kind, "http://127.0.0.1:1/v1")
    abilities.learn(spec, "m", ollama_models.Model())  # so that Ollama is not asked for it first
    transport = Transport(recording.media_type, iter(pieces) if pieces else recording.pieces(chunks))

    async def request(*_: Any, **__: Any) -> Transport:
        return transport

    heard, watched, began = 0, chunks // 10, 0.0
    with mock.patch.object(upstream, "request", request):
        async for event in provider_for(spec).stream(ChatRequest("m", (ChatMessage("user", "Hello"),))):
            if isinstance(event, TextDelta | ReasoningDelta):
                if pieces is None and event.text != WORD.format(heard):
                    raise AssertionError(f"{recording.kind} said {event.text[:40]!r} as word {heard}")
                heard += 1
                if heard == watched:
                    began = _held()
    if heard != chunks:
        raise AssertionError(f"{recording.kind} said {heard} of {chunks} words")
    return max(0.0, _held() - began)


def _held() -> float:
    """MB that Python holds by now, by its own count; 0 where nobody counts."""
    return tracemalloc.get_traced_memory()[0] / 1e6


def markdown(found: Sequence[Measured]) -> str:
    """The table."""
    head = f"`python -m benchmarks.adapters` on {datetime.now(UTC):%Y-%m-%d}: {proc.machine()}."
    columns = ["adapter", "CPU a chunk, µs (min–max)", "target", "growth over the long stream, MB", "reached?"]
    return f"{head}\n\n{report.table(columns, [one.row() for one in found])}\n"


def main() -> int:
    """Run the benchmark and print its table."""
    options = arguments()
    settings.configure(ANSWER_LIMIT=10**9, OLLAMA_CONTEXT_LENGTH=0, USE_TZ=True)
    found = []
    for recording in RECORDINGS:
        print(f"… {recording.kind}", file=sys.stderr, flush=True)
        found.append(measure(recording, chunks=options.chunks, rounds=options.rounds, long=options.long))
    text = markdown(found)
    print(text)
    if options.write:
        report.write(PAGE, text, START, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
