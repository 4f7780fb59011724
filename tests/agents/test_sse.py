"""The splitter of server-sent events, alone."""

import random

import pytest

from agents.providers.sse import LINE_LIMIT, LineTooLong, Splitter

STREAM = (
    "data: eins\n\n: comment\n\ndata:zwei ü\r\ndata:  drei 🙂\r\n\r\nid: 1\revent: x\rdata: vier\r\rdata: letztes\n\n"
)
EVENTS = ["eins", "zwei ü\n drei 🙂", "vier", "letztes"]


@pytest.mark.parametrize("seed", range(50))
def test_events_are_the_same_wherever_the_network_cuts(seed):
    chance = random.Random(seed)
    rest, splitter, events = STREAM.encode(), Splitter(), []
    while rest:
        size = chance.randint(1, 12)
        events += splitter.feed(rest[:size])
        rest = rest[size:]
    assert [event.decode() for event in events + splitter.end()] == EVENTS


@pytest.mark.parametrize("ending", ["", "\n", "\r", "\r\n"])
def test_the_end_of_the_stream_ends_the_last_event(ending):
    splitter = Splitter()
    assert splitter.feed(b"data: last" + ending.encode()) == []
    assert splitter.end() == [b"last"]


def test_a_line_without_an_end_is_refused():
    splitter = Splitter()
    for _ in range(LINE_LIMIT // 1000):
        splitter.feed(b"x" * 1000)
    with pytest.raises(LineTooLong):
        splitter.feed(b"x")


def test_many_short_lines_are_no_long_line():
    events = Splitter().feed(b"data: x\n\n" * (LINE_LIMIT // 4))
    assert len(events) == LINE_LIMIT // 4
