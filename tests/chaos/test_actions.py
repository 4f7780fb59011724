"""A short round of the fault harness: `make chaos` runs a long one. What it asks and breaks follows from the seed."""

import shutil

import pytest

from tests.chaos import campaign, report
from tests.chaos.campaign import Size

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def outcome():
    size = Size(actions=40, faults=8, seed="7", workers=2, lease=2.0, pause=1.5, deliveries=False)
    outcome = campaign.run(size)
    yield outcome
    shutil.rmtree(outcome.folder)


def test_a_short_round_of_faults_breaks_no_promise(outcome):
    assert outcome.clean, report.examples(outcome.findings)


def test_the_round_had_the_faults_and_the_actions_that_it_was_to_have(outcome):
    assert sum(outcome.happened.values()) >= outcome.size.faults
    assert len(outcome.evidence.actions) + outcome.evidence.cut_off == outcome.size.actions
    assert len(outcome.evidence.said("read", "ok")) == len(outcome.evidence.runs)


def test_whatever_was_done_was_asked_for_and_most_of_it_was_done(outcome):
    states = [action.state for action in outcome.evidence.actions.values()]
    assert states.count("succeeded") > len(states) / 3
    assert len(outcome.evidence.effects) > len(states) / 4
