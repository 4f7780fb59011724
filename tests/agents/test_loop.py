"""The turn: one answer, sent again only while nothing was said."""

import asyncio
import time
from contextlib import aclosing

import pytest

from agents import loop
from agents.events import MOST_TOKENS, Status, TextDelta, Usage, believed
from agents.providers.base import (
    ProviderRateLimited,
    ProviderUnauthorized,
    ProviderUnavailable,
    StreamCut,
    TurnTooLong,
)
from tests.agents.conftest import ask
from tests.servers.openai_server import wait_until


async def hear(spec, model):
    return [event async for event in loop.turn(spec, ask(model))]


async def test_an_answer_passes_through(spec):
    events = await hear(spec, "t3-i0")
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "tok 0 tok 1 tok 2 "
    assert isinstance(events[-1], Usage)


@pytest.mark.parametrize("cost", [-1.0, 1e13, float("inf"), float("nan")])
async def test_a_provider_that_tells_nonsense_is_believed_within_bounds(spec, monkeypatch, cost):
    class Liar:
        async def stream(self, request):
            yield Usage(10**4400, -5, cost)

    monkeypatch.setattr(loop, "provider_for", lambda spec: Liar())
    assert await hear(spec, "any") == [Usage(MOST_TOKENS, 0, None)]
    assert believed(Usage(10, 7, 0.5)) == Usage(10, 7, 0.5)


async def test_a_request_that_failed_before_its_first_token_is_sent_again_and_says_so(spec, server):
    events = await hear(spec, "flaky:2")
    assert [type(e) for e in events[:3]] == [Status, Status, TextDelta]
    assert len(server.chats) == 3


async def test_it_gives_up_after_a_few_attempts(spec, server):
    with pytest.raises(ProviderUnavailable) as caught:
        await hear(spec, "status:503")
    assert caught.value.before_first_token
    assert len(server.chats) == loop.ATTEMPTS


async def test_it_waits_as_long_as_the_provider_asks(spec, server):
    began = time.monotonic()
    await hear(spec, "flaky:1:429:1")
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("model", "kind"), [("status:429:60", ProviderRateLimited), ("status:401", ProviderUnauthorized)]
)
async def test_it_does_not_wait_long_or_in_vain(spec, server, model, kind):
    with pytest.raises(kind):
        await hear(spec, model)
    assert len(server.chats) == 1


async def test_nothing_is_sent_again_once_something_was_said(spec, server):
    with pytest.raises(StreamCut) as caught:
        await hear(spec, "cut:1")
    assert not caught.value.before_first_token
    assert len(server.chats) == 1


async def test_a_turn_ends_at_its_wall_time(spec, settings):
    settings.RUN_WALL_SECONDS = 0.2
    with pytest.raises(TurnTooLong):
        await hear(spec, "t1000-i10")


async def test_closing_the_turn_closes_the_connection(spec, server):
    async with aclosing(loop.turn(spec, ask("t1000-i5"))) as events:
        await anext(events)
    await asyncio.to_thread(wait_until, lambda: server.chats[0].left_at)


async def test_two_hundred_cancelled_turns_leave_nothing_behind(spec, server):
    tasks = [asyncio.create_task(hear(spec, "t1000-i20")) for _ in range(200)]
    await asyncio.to_thread(wait_until, lambda: len(server.chats) == 200, 20)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.to_thread(wait_until, lambda: server.open_connections == 0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
