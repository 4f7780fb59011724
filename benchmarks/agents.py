"""`make bench-agents`: fifty tool calls of one step, and a team of five that speaks at the same time.

Starts the stack as `make up` does, on a folder of its own, with an HTTP API that takes 100 ms for every answer, and
watches what a client is told. It exits with 1 where an answer was not what was asked for.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks import acting, proc, report, stack, stream
from benchmarks.countersigning import Figure

START, END = "<!-- bench-agents:start -->", "<!-- bench-agents:end -->"
MEMBERS = 5
MOST_MS = 500
MOST_RATIO = 1.3


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds of little")
    parser.add_argument("--rounds", type=int, default=15, help="of calls; a third as many of the team")
    parser.add_argument("--calls", type=int, default=50, help="of one step")
    parser.add_argument("--words", type=int, default=100, help="of the slowest member, one every 20 ms")
    parser.add_argument("--write", action="store_true", help=f"put the table into {stream.PAGE.name}")
    options = parser.parse_args(given)
    if options.quick:
        options.rounds, options.words = 3, 40
    return options


def run(options: argparse.Namespace) -> list[Figure]:
    """Start the stack, measure, stop it; raises Failed where there is nothing to measure."""
    with ExitStack() as open_:
        upstream = open_.enter_context(stream.child("benchmarks.upstream", "0"))
        api = open_.enter_context(stream.child("benchmarks.waiting"))
        assert upstream.stdout is not None
        assert api.stdout is not None
        base, port = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1", int(api.stdout.readline())
        os.environ |= {"TOOL_PRIVATE_ADDRESSES": f"127.0.0.1:{port}", "LOG_LEVEL": "WARNING"}
        data = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="countersign-bench-"))) / "data"
        _tell("starting the stack")
        running = open_.enter_context(stack.started(data, base))
        demo = json.loads((data / "demo.json").read_text())
        client = acting.Client(running.base_url, running.key, demo["users"]["admin"])
        open_.callback(client.close)
        caller = acting.Caller(client, demo["agents"]["smart-home"], api, port, running.roots)
        return [*_calls(caller, options), *_team(acting.Team(client, MEMBERS), options)]


def _calls(caller: acting.Caller, options: argparse.Namespace) -> list[Figure]:
    _tell(f"{options.calls} calls at once")
    caller.warm(options.calls)
    one = [caller.round(1).seconds * 1000 for _ in range(options.rounds)]
    rounds = [caller.round(options.calls) for _ in range(options.rounds)]
    times = [round_.seconds * 1000 for round_ in rounds]
    typical = median(times)
    cpu = {group: sum(round_.cpu[group] for round_ in rounds) / len(rounds) * 1000 for group in rounds[0].cpu}
    shares = ", ".join(f"{group} {spent:.0f}" for group, spent in cpu.items() if spent >= 1)
    return [
        Figure(
            f"{options.calls} calls of 100 ms in one step, from the first `tool_call` to the last `tool_result`, p50",
            f"{typical:.0f} ms ({min(times):.0f}–{max(times):.0f})",
            f"≤ {MOST_MS} ms",
            typical <= MOST_MS,
        ),
        Figure("the same of one call", f"{median(one):.0f} ms ({min(one):.0f}–{max(one):.0f})"),
        Figure("calls under way at once at the API, p50", f"{median(round_.most for round_ in rounds):.0f}"),
        Figure(f"CPU of an answer with {options.calls} calls", f"{sum(cpu.values()):.0f} ms ({shares})"),
    ]


def _team(team: acting.Team, options: argparse.Namespace) -> list[Figure]:
    _tell(f"a team of {MEMBERS}")
    words, brief = options.words, options.words // 10
    team.together(words // 5, brief)
    times = max(2, options.rounds // 3)
    alone = median(team.alone(words) for _ in range(times))
    talks = [team.together(words, brief) for _ in range(times)]
    longer = [team.together(words, words) for _ in range(times)]
    members, whole = (median(getattr(talk, name) for talk in talks) for name in ("members", "whole"))
    equal = median(talk.whole for talk in longer)
    return [
        Figure("What the slowest member says, said by one agent alone", f"{alone:.2f} s"),
        _ratio(f"A team of {MEMBERS} in `brainstorm` until the last member has ended", members, alone),
        _ratio("the same with the lead's summary, a tenth as long", whole, alone),
        _ratio("the same with a summary as long, by both together", equal, 2 * alone),
    ]


def _ratio(name: str, seconds: float, least: float) -> Figure:
    ratio = seconds / least
    return Figure(name, f"{seconds:.2f} s, {ratio:.2f} times", f"≤ {MOST_RATIO:g} times", ratio <= MOST_RATIO)


def markdown(figures: Sequence[Figure]) -> str:
    """The table."""
    head = f"`python -m benchmarks.agents` on {datetime.now(UTC):%Y-%m-%d}: {proc.machine()}."
    columns = ["figure", "measured", "target", "reached?"]
    return f"{head}\n\n{report.table(columns, [one.row() for one in figures])}\n"


def _tell(progress: str) -> None:
    print(f"… {progress}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmark and print its table; 1 where an answer failed."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        text = markdown(run(options))
    except acting.Failed as error:
        print(f"An answer failed: {error}", file=sys.stderr)
        return 1
    print(text)
    if options.write:
        report.write(stream.PAGE, text, START, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
