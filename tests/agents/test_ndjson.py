"""The splitter of newline-delimited JSON, alone."""

import random

import pytest

from agents.providers.ndjson import Splitter
from agents.providers.sse import LINE_LIMIT, LineTooLong

STREAM = '\ufeff{"a": "ü"}\n\n{"b": "🙂"}\r\n \r\n{"c": 1}\n{"d": 2}'
LINES = ['{"a": "ü"}', '{"b": "🙂"}', '{"c": 1}', '{"d": 2}']


@pytest.mark.parametrize("seed", range(50))
def test_lines_are_the_same_wherever_the_network_cuts(seed):
    chance = random.Random(seed)
    rest, splitter, lines = STREAM.encode(), Splitter(), []
    while rest:
        size = chance.randint(1, 12) if lines else chance.randint(3, 12)
        lines += splitter.feed(rest[:size])
        rest = rest[size:]
    assert [line.decode().strip() for line in lines + splitter.end()] == LINES
    assert splitter.end() == []


def test_a_line_without_an_end_is_refused():
    splitter = Splitter()
    for _ in range(LINE_LIMIT // 1000):
        splitter.feed(b"x" * 1000)
    with pytest.raises(LineTooLong):
        splitter.feed(b"x")


def test_so_is_a_line_that_is_too_long_with_its_end():
    with pytest.raises(LineTooLong):
        Splitter().feed(b"x" * (LINE_LIMIT + 1) + b"\n")


def test_many_short_lines_are_no_long_line():
    assert len(Splitter().feed(b"{}\n" * LINE_LIMIT)) == LINE_LIMIT
