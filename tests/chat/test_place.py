"""A reader's place in a run's events: nothing twice, nothing missed unnoticed."""

from agents.events import RunCompleted, RunRestarted, RunStarted, Snapshot, TextDelta
from chat.eventlog import Batch
from chat.following import Place

STARTED = RunStarted("c", "smart-home", "p", "m")


def batch(first: int, *events) -> Batch:
    return Batch("r", "c", first, list(events))


def words(*texts: str) -> list[TextDelta]:
    return [TextDelta(text) for text in texts]


def test_consecutive_batches_are_all_new():
    place = Place(0)
    assert place.accept(batch(1, STARTED, *words("a"))) == [(1, STARTED), (2, TextDelta("a"))]
    assert place.accept(batch(3, *words("b"))) == [(3, TextDelta("b"))]
    assert place.last == 3


def test_what_was_seen_is_not_given_twice():
    place = Place(0)
    place.accept(batch(1, STARTED, *words("a", "b")))
    assert place.accept(batch(1, STARTED, *words("a", "b"))) == []
    assert place.accept(batch(3, *words("b", "c"))) == [(4, TextDelta("c"))]


def test_a_gap_is_noticed_and_nothing_behind_it_is_given():
    place = Place(5)
    assert place.accept(batch(8, *words("x"))) == []
    assert place.missing
    assert place.last == 5


def test_a_gap_is_no_gap_before_an_event_that_begins_the_text_anew():
    place = Place(5)
    restarted = RunRestarted(2, "worker_lost")
    assert place.accept(batch(1_000_001, restarted, *words("x"))) == [
        (1_000_001, restarted),
        (1_000_002, TextDelta("x")),
    ]
    assert not place.missing


def test_numbers_of_a_later_run_of_the_conversation_begin_above_the_one_before():
    assert Place(0).accept(batch(913, STARTED)) == [(913, STARTED)]


def test_a_reader_who_missed_nothing_is_spared_the_snapshot():
    place = Place(0)
    place.accept(batch(1, STARTED, *words("a")))
    assert place.accept(batch(3, Snapshot(1, "a"), *words("b"))) == [(4, TextDelta("b"))]


def test_a_reader_who_missed_something_is_given_the_snapshot():
    place = Place(2)
    snapshot = Snapshot(1, "abc")
    assert place.accept(batch(9, snapshot, *words("d"))) == [(9, snapshot), (10, TextDelta("d"))]


def test_a_terminal_event_behind_a_gap_is_held_back_until_the_gap_is_closed():
    place = Place(5)
    assert place.accept(batch(9, RunCompleted("m", "t"))) == []
    assert place.missing
