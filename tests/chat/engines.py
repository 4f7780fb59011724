"""A worker's engine in the test's own process, and what readers of its runs are told."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from agents.events import TERMINAL, Event
from chat import engine, eventlog, following
from chat.engine import Engine
from chat.eventlog import Feed
from chat.models import Run


@contextmanager
def working(monkeypatch, queues: Iterable[str] | None = None) -> Iterator[Engine]:
    """A worker's engine in the test's own process, for these queues or all, whose readers share its loop."""
    for module in (eventlog, following):
        monkeypatch.setattr(module, "feed", Feed())
    monkeypatch.setattr(engine.eventlog, "feed", following.feed)
    monkeypatch.setattr(following, "_client", None)
    one = Engine(queues)
    one.start()
    one.ring()
    try:
        yield one
    finally:
        if following._client is not None:
            asyncio.run_coroutine_threadsafe(following._client.aclose(), one._loop).result(10)
        one.drain(5)
        one._loop.close()


def read(one: Engine, run: Run, after: int = 0) -> list[tuple[int, Event]]:
    """All that a reader of the run is told, to its end."""

    async def reading() -> list[tuple[int, Event]]:
        return [numbered async for batch in following.follow(str(run.pk), after=after) for numbered in batch]

    return asyncio.run_coroutine_threadsafe(reading(), one._loop).result(30)


def ends(told: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
    return [(number, event) for number, event in told if isinstance(event, TERMINAL)]
