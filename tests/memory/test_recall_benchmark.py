"""What `make bench-memory` measures, on the project's own small set."""

import pytest

from benchmarks import locomo, memory


@pytest.fixture
def talks(db):
    return locomo.keep(memory.OWN)


def test_most_of_what_answers_is_among_the_first_five(talks):
    hits = locomo.ask(talks)
    assert len(hits) == 29
    assert locomo.at(hits, 5) >= 90
    assert locomo.at(hits, 10) >= locomo.at(hits, 5)


def test_words_alone_find_less_and_still_most(talks, settings):
    both = locomo.at(locomo.ask(talks), 5)
    settings.EMBEDDER = "none"
    assert 60 <= locomo.at(locomo.ask(talks), 5) < both


def test_a_question_is_counted_by_the_share_of_its_evidence_that_is_found():
    hits = [locomo.Hit(1, {5: 0.5}), locomo.Hit(4, {5: 1.0})]
    assert locomo.at(hits, 5) == 75
    assert locomo.at(hits, 5, 1) == 50
    assert locomo.at(hits, 5, 3) == 0


def test_the_tables_name_every_kind(db):
    found = "\n".join(locomo.tables(memory.OWN, ablations=False, tell=lambda _: None))
    assert all(kind in found for kind in locomo.KINDS.values())
