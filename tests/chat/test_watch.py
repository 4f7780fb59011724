"""A reader's place at the feed: what is handed over, and what a reader too slow is spared."""

import asyncio

from agents.events import TextDelta
from chat.eventlog import Batch, Watch

BATCH = Batch("r", "c", 1, [TextDelta("x")])


def test_what_comes_is_taken_once():
    watch = Watch(missed=False)
    watch.put(BATCH, 100)
    assert watch.take() == [BATCH]
    assert watch.take() == []
    assert not watch.missed


def test_a_reader_too_slow_is_kept_no_more_for_and_told_to_read_the_log():
    watch = Watch(missed=False)
    for _ in range(1000):
        watch.put(BATCH, 1000)
        assert len(watch._batches) <= Watch.HOLD // 1000
    assert watch.missed


async def test_a_reader_who_waits_is_handed_a_batch_of_any_size():
    watch = Watch(missed=False)
    waiting = asyncio.ensure_future(watch.wait(30))
    await asyncio.sleep(0)
    watch.put(BATCH, 10 * Watch.HOLD)
    assert await waiting
    assert watch.take() == [BATCH]


async def test_waiting_ends_by_itself_when_nothing_comes():
    assert not await Watch(missed=False).wait(0.001)


async def test_a_lost_feed_wakes_the_reader():
    watch = Watch(missed=False)
    waiting = asyncio.ensure_future(watch.wait(30))
    await asyncio.sleep(0)
    watch.miss()
    assert await waiting
    assert watch.missed
