"""The benchmark of the adapters hears what it sends, and says so where it does not."""

import dataclasses

import pytest

from agents.providers import KINDS
from benchmarks import adapters
from benchmarks.adapters import Measured
from benchmarks.recorded import RECORDINGS


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.kind)
def test_every_word_is_heard(recording):
    found = adapters.measure(recording, chunks=200, rounds=2, long=300)
    assert len(found.rounds) == 2
    assert min(found.rounds) > 0


def test_a_stream_that_says_less_is_no_measurement():
    mute = dataclasses.replace(RECORDINGS[0], thought=lambda text: b": nothing\n\n")
    with pytest.raises(AssertionError, match="as word 0"):
        adapters.measure(mute, chunks=200, rounds=1, long=300)


def test_a_stream_that_is_held_shows(monkeypatch):
    held = []
    monkeypatch.setattr(adapters.Transport, "spoke", lambda self: held.append(bytearray(1000)))
    assert adapters.measure(RECORDINGS[0], chunks=200, rounds=1, long=1000).growth > 0.5


def test_every_wire_format_is_measured():
    assert {recording.kind for recording in RECORDINGS} == set(KINDS) - {"rehearsal"}


def test_the_table_says_whether_the_targets_are_reached():
    rows = {one.kind: one.row() for one in (Measured("a", [4.0, 5.0, 16.0], 0.02), Measured("b", [15.1], 0.0))}
    assert rows["a"][1:] == ["5.0 (4.0–16.0)", "≤ 15", "0.02", "yes"]
    assert rows["b"][4] == Measured("c", [1.0], 0.2).row()[4] == "**no**"
