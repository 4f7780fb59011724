"""`make bench`: what the whole stack costs and how fast it answers, against an upstream of its own.

Starts a fake model server, the load generator, a bare pass-through to compare with, and the stack as
`make up` does, each a process of its own; sends the same rounds to all, and prints Markdown. It exits with 1
when an answer failed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks import proc, remembered, report, stack
from benchmarks.answers import Result, Round
from benchmarks.figures import Measured, Plan, Report, Sample

SETTLE = 0.5  # seconds after the last byte in which the stack may still write down what it said
IDLE = 5.0  # seconds over which the idle stack is watched
PAGE = stack.PROJECT / "docs" / "performance.md"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each kind")
    parser.add_argument("--streams", default="1,50,200,500", help="how many at once, comma-separated")
    parser.add_argument("--repeat", type=int, default=3, help="rounds of each kind; the median is reported")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round to FILE")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    parser.add_argument("--base-url", help="measure a stack that runs already, such as http://127.0.0.1:8000")
    parser.add_argument("--key", help="its API key")
    parser.add_argument("--pid", type=int, help="its `manage.py up`: CPU and memory are read from there")
    parser.add_argument("--upstream-port", type=int, default=0, help="the port in its OPENAI_BASE_URL")
    options = parser.parse_args(given)
    if options.base_url and not (options.key and options.upstream_port):
        parser.error("--base-url needs --key and --upstream-port")
    return options


def plans(options: argparse.Namespace) -> list[Plan]:
    """The rounds to run."""
    counts = [int(count) for count in options.streams.split(",")]
    if options.quick:
        return [Plan(count, 100, 20, count) for count in counts[:2]] + [Plan(20, 20, 0, 100, stream=False)]
    streams = [Plan(count, 100, 20, max(count, 5)) for count in counts]
    last = [Plan(50, 400, 20, 50), Plan(20, 20, 0, 400, stream=False)]
    if options.base_url:
        return [*streams, *last]
    # Those with memory come last: what is remembered of them is a load of its own.
    return [
        *streams,
        *last,
        Plan(1, 100, 20, 10, remembers=True),
        Plan(50, 100, 20, 50, remembers=True),
        Plan(20, 20, 0, 200, stream=False, remembers=True),
    ]


class Bench:
    """The processes of one benchmark, and the rounds sent through them."""

    def __init__(self, generator: "subprocess.Popen[str]", upstream: str) -> None:
        self.generator, self.upstream = generator, upstream
        self.stack = stack.Stack("", "")
        self.bare: tuple[str, int] | None = None

    def through_upstream(self, plan: Plan) -> Result:
        """The plan's round against the upstream itself."""
        return self._send(self._openai(f"{self.upstream}/chat/completions", plan))

    def through_bare(self, plan: Plan) -> Sample:
        """The plan's round through the bare pass-through."""
        assert self.bare is not None
        return self._measure(self._openai(f"{self.bare[0]}/v1/chat/completions", plan), [self.bare[1]])

    def through_stack(self, plan: Plan) -> Sample:
        """The plan's round through the stack, each request in a conversation of its own."""
        body = {
            "message": "How warm is it?",
            "companion": remembered.REMEMBERING if plan.remembers else remembered.FORGETFUL,
            "model": plan.model,
            "stream": plan.stream,
        }
        round_ = Round(
            url=f"{self.stack.base_url}/v1/ai/chat",
            body=body,
            dialect="native",
            headers={"authorization": f"Bearer {self.stack.key}"},
            tokens=plan.tokens,
            concurrency=plan.concurrency,
            total=plan.total,
        )
        return self.through(round_)

    def through(self, round_: Round) -> Sample:
        """Any round of the stack's."""
        return self._measure(round_, self.stack.roots)

    def _openai(self, url: str, plan: Plan) -> Round:
        body = {
            "model": plan.model,
            "stream": plan.stream,
            "messages": [{"role": "user", "content": "How warm?"}],
        }
        return Round(
            url=url,
            body=body,
            dialect="openai",
            tokens=plan.tokens,
            concurrency=plan.concurrency,
            total=plan.total,
        )

    def _measure(self, round_: Round, roots: list[int]) -> Sample:
        before = proc.cpu(roots)
        seen = self._send(round_)
        time.sleep(SETTLE)
        after = proc.cpu(roots)
        return Sample(seen, {group: after[group] - before[group] for group in after} if roots else {})

    def _send(self, round_: Round) -> Result:
        assert self.generator.stdin is not None
        assert self.generator.stdout is not None
        self.generator.stdin.write(json.dumps(asdict(round_)) + "\n")
        self.generator.stdin.flush()
        return Result(**json.loads(self.generator.stdout.readline()))


@contextmanager
def child(*command: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A process of ours that speaks through pipes, ended when the block is left."""
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=stack.PROJECT, env=os.environ | environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=stack.end_with_us(signal.SIGKILL),
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def measure(bench: Bench, options: argparse.Namespace, found: Report) -> None:
    """Warm up, then run every plan through the upstream, the stack and the pass-through, side by side."""
    repeat = 1 if options.quick else options.repeat
    _tell("warm-up")
    bench.through_stack(Plan(50, 100, 20, 100))
    bench.through_bare(Plan(50, 100, 20, 100))
    for plan in plans(options):
        measured = Measured(plan)
        found.rounds.append(measured)
        for index in range(repeat):
            kind = "streams" if plan.stream else "whole answers"
            _tell(f"{plan.name} {kind}, round {index + 1} of {repeat}")
            measured.upstream.append(bench.through_upstream(plan))
            measured.stack.append(bench.through_stack(plan))
            if plan.stream:
                measured.bare.append(bench.through_bare(plan))


def watch_idle(found: Report, roots: list[int]) -> None:
    """Note memory and CPU of the stack while nobody asks anything of it."""
    _tell(f"idle, {IDLE:g} s")
    before = proc.cpu(roots)
    time.sleep(IDLE)
    after = proc.cpu(roots)
    found.idle_cpu = {group: (after[group] - before[group]) / IDLE for group in after}
    found.memory_idle = proc.memory(roots)


def run(options: argparse.Namespace) -> Report:
    """Start everything, measure, stop everything."""
    found = Report(command=" ".join(["python -m benchmarks.stream", *sys.argv[1:]]))
    with ExitStack() as open_:
        upstream = open_.enter_context(child("benchmarks.upstream", str(options.upstream_port)))
        assert upstream.stdout is not None
        base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1"
        bench = Bench(open_.enter_context(child("benchmarks.load")), base)
        bench.bare = open_.enter_context(_passthrough(base))
        if options.base_url:
            roots = [options.pid] if options.pid else []
            bench.stack = stack.Stack(options.base_url.rstrip("/"), options.key, roots)
        else:
            _tell("starting the stack, twice: on an empty folder, then on a prepared one")
            folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="countersign-bench-")))
            bench.stack = open_.enter_context(stack.started(folder / "data", base))
        if bench.stack.roots:
            watch_idle(found, bench.stack.roots)
        if not options.base_url:
            _tell(f"{remembered.MEMORIES:,} memories, and their vectors")
            remembered.prepare(bench.stack.base_url, folder / "data" / "demo.json", bench.stack.roots)
        measure(bench, options, found)
        if bench.stack.roots:
            found.memory_after = proc.memory(bench.stack.roots)
            found.servers = report.versions(_executables(bench.stack.roots))
        found.boot, found.first_boot = bench.stack.boot, bench.stack.first_boot
    found.left_behind = bench.stack.left_behind
    return found


@contextmanager
def _passthrough(upstream: str) -> Iterator[tuple[str, int]]:
    port = stack.free_port()
    options = ("--port", str(port), "--log-level", "warning", "--no-access-log")
    with child("uvicorn", "benchmarks.passthrough:app", *options, UPSTREAM=upstream) as process:
        stack.wait_listening(port, process)
        yield f"http://127.0.0.1:{port}", process.pid


def _executables(roots: list[int]) -> set[str]:
    groups = proc.tree(roots)
    return {os.readlink(f"/proc/{pid}/exe") for pid, group in groups.items() if group in ("postgresql", "valkey")}


def _tell(progress: str) -> None:
    print(f"… {progress}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmark; 1 where an answer failed or a process was left behind."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is stopped
    found = run(options)
    text = report.markdown(found)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=1))
    if options.write:
        report.write(PAGE, text)
    return 1 if found.failures() or found.left_behind else 0


if __name__ == "__main__":
    sys.exit(main())
