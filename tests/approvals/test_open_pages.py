"""A person's open pages: so many are told of changes, and what they are told is read once for all of them."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import pytest

from approvals import openpages
from approvals.live import channel
from core import ids
from tests.servers.threads import bridged


def taken(person: object, place: UUID) -> bool:
    try:
        openpages.take(person, place)
    except openpages.TooMany:
        return False
    return True


def test_a_person_has_so_many_places_and_those_of_others_are_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openpages, "MOST", 2)
    one, two, third, person = ids.new(), ids.new(), ids.new(), ids.new()
    assert [taken(person, place) for place in (one, two, third)] == [True, True, False]
    assert taken(person, one), "who has a place keeps it"
    assert taken(ids.new(), third)
    openpages.leave(person, two)
    assert [taken(person, place) for place in (third, two)] == [True, False]


def test_places_of_a_process_that_died_are_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openpages, "MOST", 1)
    monkeypatch.setattr(openpages, "LEASE_MS", 50)
    person, last = ids.new(), time.monotonic() + 10
    assert taken(person, ids.new())
    while not taken(person, ids.new()):
        assert time.monotonic() < last


def reader() -> tuple[list[int], Callable[[], int]]:
    """What counts how often it is read, and the list of its readings."""
    reads: list[int] = []

    def read() -> int:
        time.sleep(0.01)  # so that all who wait for it do so at once
        reads.append(len(reads))
        return reads[-1]

    return reads, read


async def test_a_word_is_looked_at_once_for_all_pages_and_each_word_anew() -> None:
    reads, read = reader()
    person = ids.new()
    look = openpages.look(person)
    assert openpages.look(person) is look
    with bridged():
        channel.words += 1
        word = channel.words
        assert await asyncio.gather(*(look.since(word, read) for _ in range(20))) == [0] * 20
        assert await look.since(word, read) == 0
        channel.words += 1
        assert await asyncio.gather(*(look.since(channel.words, read) for _ in range(5))) == [1] * 5
        assert await look.since(None, read) == 2, "who comes anew is told how it stands now"
    assert reads == [0, 1, 2]


async def test_what_was_read_before_a_word_is_not_told_after_it() -> None:
    look = openpages.look(ids.new())

    def read_while_something_happens() -> str:
        channel.words += 1
        return "before"

    with bridged():
        assert await look.since(None, read_while_something_happens) == "before"
        assert await look.since(channel.words, lambda: "after") == "after"
