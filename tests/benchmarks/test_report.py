from dataclasses import replace

import pytest

from benchmarks import report, stream
from benchmarks.answers import Result
from benchmarks.figures import TARGETS, Measured, Plan, Report, Sample
from benchmarks.proc import GROUPS, OTHERS, Memory

SEEN = Result(
    answers=200, seconds=2.0, tokens=20_000, lost=0, doubled=0, deltas=10_000, restarts=0,
    first_p50=120.0, first_p99=200.0, gap_p50=20.0, gap_p99=60.0, cpu=9.0, errors={},
)  # fmt: skip


def sample(seconds, **changes):
    return Sample(replace(SEEN, **changes), {**dict.fromkeys([*GROUPS, OTHERS], 0.0), "web": seconds})


@pytest.fixture
def found():
    own = replace(SEEN, first_p50=20.0, first_p99=25.0)
    streams = Measured(Plan(200, 100, 20, 200), [sample(s) for s in (2.4, 1.6, 1.8)], [sample(0.9)], [own])
    answers = Measured(Plan(20, 20, 0, 400, stream=False), [sample(2.0, answers=400)], [], [own])
    memory = {"web": Memory(200.0, 180.0, 1), "worker": Memory(160.0, 140.0, 1)}
    return Report("make bench", [streams, answers], memory_after=memory, boot=3.2, first_boot=9.0)


def rows(found):
    return {row[0]: row[2:] for row in (target.row(found) for target in TARGETS)}


def test_the_round_with_the_median_cpu_is_reported(found):
    assert found.rounds[0].typical().chunk == pytest.approx(90)
    assert found.rounds[0].ratio() == pytest.approx(2)
    assert "90 (80–120)" in report.markdown(found)


def test_targets_say_whether_they_are_reached(found):
    said = rows(found)
    assert said["CPU a chunk, 200 streams of 100 tokens"] == ["90", "yes"]
    assert said["the same, 200 at the same instant"] == ["100", "yes"]
    assert said["Whole answers a second, 20 at once"] == ["200", "yes"]
    assert said["Web and worker resident after the rounds"] == ["360", "**no**"]
    assert said["CPU a chunk, 50 streams of 400 tokens"] == ["–", "not measured"]


def test_a_stack_whose_processes_are_unknown_has_no_cpu_figure(found):
    unknown = Sample(SEEN, {})
    found.rounds[0].stack = [unknown]
    assert rows(found)["CPU a chunk, 200 streams of 100 tokens"] == ["–", "not measured"]
    assert "| 200 × 100 | – |" in report.markdown(found)


def test_failures_come_first_and_are_counted_over_all_rounds(found):
    found.rounds[0].stack[0] = sample(2.4, errors={"status 500": 3}, lost=7)
    lines = report.markdown(found).splitlines()
    assert "3 × 200 × 100: status 500" in lines[2]
    assert (found.rounds[0].failures(), found.rounds[0].lost()) == (3, 7)


def test_the_page_keeps_all_but_its_marked_block(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    report.write(page, "new \\1\n")
    assert page.read_text() == f"before\n{report.START}\nnew \\1\n{report.END}\nafter\n"
    page.write_text("no block")
    with pytest.raises(ValueError, match="no block between"):
        report.write(page, "new")


def test_the_page_of_the_documentation_has_the_block():
    assert report.START in stream.PAGE.read_text()


def test_a_stack_that_runs_already_needs_its_key_and_the_port_of_its_upstream():
    with pytest.raises(SystemExit):
        stream.arguments(["--base-url", "http://127.0.0.1:8000"])
    assert stream.arguments(["--base-url", "x", "--key", "k", "--upstream-port", "1"]).pid is None


def test_quick_rounds_are_few():
    assert [plan.name for plan in stream.plans(stream.arguments(["--quick"]))] == [
        "1 × 100",
        "50 × 100",
        "20 × 20",
    ]
    assert len(whole := stream.plans(stream.arguments([]))) == 9
    assert [plan.name for plan in whole if plan.remembers] == [
        "1 × 100, with memory",
        "50 × 100, with memory",
        "20 × 20, with memory",
    ]
