"""`make bench-approvals`: from a decision to its action, audited changes a second, and lists that stay flat.

Starts the stack as `make up` does, on a folder of its own with PostgreSQL's fsync on, and measures it over HTTP and
from within. It exits with 1 when a figure misses its target by so much that something must be broken.
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


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.approvals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few decisions, small tables")
    parser.add_argument("--decisions", type=int, default=200)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the large tables")
    parser.add_argument("--requests", type=int, default=200_000, help="requests of the large tables")
    parser.add_argument("--write", action="store_true", help=f"put the table into {stream.PAGE.name}")
    options = parser.parse_args(given)
    if options.quick:
        options.decisions, options.events, options.requests = 10, 20_000, 4_000
    return options


def run(options: argparse.Namespace) -> list[Figure]:
    """Start the stack, measure, stop it."""
    os.environ |= {"LIMIT_DECIDE": "1000000", "LIMIT_LOGIN": "1000", "LOG_LEVEL": "WARNING"}
    figures: list[Figure] = []
    with ExitStack() as open_:
        upstream = open_.enter_context(stream.child("benchmarks.upstream", "0"))
        assert upstream.stdout is not None
        base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1"
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="countersign-bench-")))
        data = folder / "data"
        _tell("starting the stack")
        running = open_.enter_context(stack.started(data, base))
        demo = json.loads((data / "demo.json").read_text())
        countersigning.connect(data)
        manager = demo["users"]["manager"]
        _tell("decisions")
        figures += countersigning.decisions(running.base_url, running.key, manager, options.decisions)
        figures.append(countersigning.without_bell(running.base_url, running.key, manager, 3))
        with _asleep(running.roots):
            _tell("audited changes")
            figures.append(countersigning.changes(2 if options.quick else 15, 4))
            figures.append(countersigning.chained(2_000 if options.quick else 200_000, 4))
            _tell("verifying")
            figures.append(countersigning.verified())
            _tell("lists")
            from benchmarks import lists  # noqa: PLC0415  it needs Django, which is loaded by now

            figures += lists.measure(manager, events=options.events, requests=options.requests, rounds=ROUNDS)
    return figures


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
    words = {None: "–", True: "yes", False: "**no**"}
    rows = [[one.name, one.measured, one.target, words[one.reached]] for one in figures]
    head = f"`python -m benchmarks.approvals` on {datetime.now(UTC):%Y-%m-%d}: {proc.machine()}."
    return head + "\n\n" + report.table(["figure", "measured", "target", "reached?"], rows) + "\n"


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
