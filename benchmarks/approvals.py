"""`make bench-approvals`: from a decision to its action, audited changes a second, and lists that stay flat.

Starts the stack as `make up` does, on a folder of its own with PostgreSQL's fsync on, and measures it over HTTP and
from within. The table says which targets were missed.
"""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import countersigning, proc, report, stack, stream
from benchmarks.countersigning import Figure

START, END = "<!-- bench-approvals:start -->", "<!-- bench-approvals:end -->"
ROUNDS = 15
SILENT = 3  # decisions that no doorbell tells of
CREWS = ((1, 4), (2, 2))  # processes and their threads that make audited changes


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.approvals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few decisions, small tables")
    parser.add_argument("--decisions", type=int, default=200)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the large tables")
    parser.add_argument("--requests", type=int, default=200_000, help="requests of the large tables")
    parser.add_argument("--lists", action="store_true", help="the lists alone")
    parser.add_argument("--write", action="store_true", help=f"put the table into {stream.PAGE.name}")
    options = parser.parse_args(given)
    if options.lists and options.write:
        parser.error("the page has the whole table: leave --lists out")
    if options.quick:
        options.decisions, options.events, options.requests = 10, 20_000, 4_000
    return options


def run(options: argparse.Namespace) -> list[Figure]:
    """Start the stack, measure, stop it."""
    os.environ |= {"LIMIT_DECIDE": "1000000", "LIMIT_LOGIN": "1000", "LOG_LEVEL": "WARNING"}
    with ExitStack() as open_:
        upstream = open_.enter_context(stream.child("benchmarks.upstream", "0"))
        assert upstream.stdout is not None
        base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1"
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="countersign-bench-")))
        data = folder / "data"
        _tell("starting the stack")
        running = open_.enter_context(stack.started(data, base))
        manager = json.loads((data / "demo.json").read_text())["users"]["manager"]
        countersigning.connect(data)
        figures = [] if options.lists else _decided(running, manager, options)
        with _asleep(running.roots):
            if not options.lists:
                figures += _recorded(data, running, options)
            figures += _listed(manager, options)
    return figures


def _decided(running: stack.Stack, manager: dict[str, str], options: argparse.Namespace) -> list[Figure]:
    from benchmarks import deciding  # noqa: PLC0415  it needs Django, which is loaded by now

    _tell("decisions")
    desk = deciding.Desk(running.base_url, running.key, manager)
    try:
        return [*deciding.decisions(desk, options.decisions), deciding.without_bell(desk, SILENT)]
    finally:
        desk.close()


def _recorded(data: Path, running: stack.Stack, options: argparse.Namespace) -> list[Figure]:
    from benchmarks import recording  # noqa: PLC0415

    seconds, events = (2, 2_000) if options.quick else (15, 200_000)
    _tell("audited changes")
    figures = [recording.changes(data, running.roots, seconds, processes, threads) for processes, threads in CREWS]
    _tell("the chain")
    figures += [recording.chained(events, 4), recording.verified()]
    _tell("\n".join(f"{one.name}: {one.measured}" for one in figures))
    return figures


def _listed(manager: dict[str, str], options: argparse.Namespace) -> list[Figure]:
    from benchmarks import lists  # noqa: PLC0415

    return lists.measure(manager, events=options.events, requests=options.requests, rounds=ROUNDS, tell=_tell)


@contextmanager
def _asleep(roots: list[int]) -> Iterator[None]:
    """Let the stack's workers and its scheduler sleep, so that what is measured is the services' alone."""
    held = [pid for pid, group in proc.tree(roots).items() if group in ("worker", "scheduler")]
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)


def markdown(figures: Sequence[Figure]) -> str:
    """The table."""
    head = f"`python -m benchmarks.approvals` on {datetime.now(UTC):%Y-%m-%d}: {proc.machine()}."
    return (
        head
        + "\n\n"
        + report.table(["figure", "measured", "target", "reached?"], [one.row() for one in figures])
        + "\n"
    )


def write(page: Path, text: str) -> None:
    """Replace the page's marked block."""
    block = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    page.write_text(block.sub(lambda _: f"{START}\n{text}{END}", page.read_text()))


def _tell(progress: str) -> None:
    print(f"… {progress}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmark and print its table."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    text = markdown(run(options))
    print(text)
    if options.write:
        write(stream.PAGE, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
