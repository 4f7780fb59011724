"""The benchmark of acting agents: its API, what it refuses to measure, and its table."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from benchmarks import acting, agents, stream


@pytest.fixture
def api():
    with stream.child("benchmarks.waiting", "200") as process:
        yield process, int(process.stdout.readline())


def told(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_the_api_counts_what_is_under_way_at_once(api):
    process, port = api
    with ThreadPoolExecutor(8) as pool, httpx.Client(trust_env=False) as client:
        answers = list(pool.map(client.get, [f"http://127.0.0.1:{port}/lookup"] * 8))
    assert [answer.json() for answer in answers] == [{"found": "nothing new"}] * 8
    seen = told(process)
    assert seen["asked"] == 8
    assert 1 < seen["most"] <= 8
    assert told(process) == {"asked": 0, "most": 0}


class Told(acting.Client):
    """Hears what it is given in place of a stream."""

    def __init__(self, *events):
        self.events = events

    def set(self, method, path, **said):
        return {"id": "1", "slug": "one"}

    def ask(self, path, **said):
        yield from self.events


def rounds(api, *events):
    process, port = api
    return acting.Caller(Told(*events), "1", process, port, []).round(1)


def test_a_round_in_which_a_call_did_not_arrive_is_no_measurement(api):
    with pytest.raises(acting.Failed, match="1 calls, 1 results, 0 requests"):
        rounds(api, (0.1, "tool_call", {}), (0.3, "tool_result", {"ok": True, "summary": ""}))


def test_a_round_without_the_tool_is_tried_again(api):
    with pytest.raises(acting.NotYet):
        rounds(api, (0.1, "done", {}))


def test_a_team_of_which_a_member_failed_is_no_measurement():
    ended = {"role": "member", "agent_name": "Member1", "error": "no"}
    with pytest.raises(acting.Failed, match="Member1: no"):
        acting.Team(Told((1.0, "member", ended)), 1).together(20, 2)


def test_a_team_is_timed_to_its_last_member_and_to_the_end():
    said = [
        (at, "member", {"role": role, "error": ""}) for at, role in ((1.0, "member"), (2.0, "member"), (3.0, "summary"))
    ]
    talk = acting.Team(Told(*said, (3.5, "done", {})), 2).together(20, 2)
    assert (talk.members, talk.whole) == (2.0, 3.5)


def test_the_table_says_whether_the_targets_are_reached():
    text = agents.markdown([agents._ratio("quick", 1.3, 1.0), agents._ratio("slow", 1.4, 1.0)])
    assert "| quick | 1.30 s, 1.30 times | ≤ 1.3 times | yes |" in text
    assert "| slow | 1.40 s, 1.40 times | ≤ 1.3 times | **no** |" in text


def test_the_page_of_the_documentation_has_the_block():
    page = stream.PAGE.read_text()
    assert agents.START in page
    assert agents.END in page


def test_quick_rounds_are_few():
    assert (agents.arguments(["--quick"]).rounds, agents.arguments([]).rounds) == (3, 15)
