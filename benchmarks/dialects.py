"""`make bench-dialects`: what each dialect's encoder takes for an event, and what the dialect adds to the native one.

First recorded runs go through each encoder by itself. Then the stack is started as `make up` does, and the same round
of streams is asked for in every dialect by turns; each answer is compared with what the upstream sent. It exits with 1
where one is not that.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import django
from django.apps import apps

from benchmarks import encoding, proc, remembered, report, stack, stream
from benchmarks.encoding import Encoding
from benchmarks.figures import Plan, Sample
from benchmarks.speaking import BESIDE, DOORS, Speaker

START, END = "<!-- bench-dialects:start -->", "<!-- bench-dialects:end -->"
NATIVE = "native"
MOST_OVERHEAD = 5  # % of the CPU of the native dialect's round


@dataclass(slots=True)
class Spoken:
    """The rounds of one dialect, each beside the native one's of the same turn."""

    dialect: str
    rounds: list[Sample] = field(default_factory=list)
    native: list[Sample] = field(default_factory=list)

    def overhead(self) -> list[float]:
        """% of CPU over the native dialect's, turn by turn."""
        return [(mine.chunk / its.chunk - 1) * 100 for mine, its in zip(self.rounds, self.native, strict=True)]

    def failures(self) -> dict[str, int]:
        """What went wrong, and how often."""
        counts: dict[str, int] = {}
        for sample in self.rounds:
            for reason, count in sample.seen.errors.items():
                counts[reason] = counts.get(reason, 0) + count
        return counts

    def row(self) -> list[str]:
        """The line of the table."""
        over, chunks = self.overhead(), [sample.chunk for sample in self.rounds]
        web = median(sample.cpu.get("web", 0.0) * 1e6 / max(1, sample.seen.tokens) for sample in self.rounds)
        told = [
            f"{median(chunks):.0f} ({min(chunks):.0f}–{max(chunks):.0f})",
            f"{web:.0f}",
            f"{median(sample.seen.first_p50 for sample in self.rounds):.0f}",
            str(sum(self.failures().values())),
        ]
        if self.dialect == NATIVE:
            return [self.dialect, *told, "–", "–", "–"]
        spread = f"{median(over):+.1f} % ({min(over):+.1f} to {max(over):+.1f})"
        reached = median(over) <= MOST_OVERHEAD and not self.failures()
        return [self.dialect, *told, spread, f"≤ {MOST_OVERHEAD} %", "yes" if reached else "**no**"]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dialects", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds of few streams")
    parser.add_argument("--streams", type=int, default=200, help="how many at once; 0: the encoders alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400, help="of a recorded run; a stream has 100")
    parser.add_argument("--readers", type=int, default=50, help="of a recorded run, in a round")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {stream.PAGE.name}")
    options = parser.parse_args(given)
    if options.quick:
        options.streams, options.rounds, options.readers = min(options.streams, 5), 2, 5
    return options


def encode(options: argparse.Namespace) -> list[Encoding]:
    """Measure each encoder by itself."""
    if not apps.ready:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        os.environ.setdefault("SECRET_KEY", "of the benchmark, which keeps nothing secret")
        django.setup()
    found = []
    for dialect in encoding.encoders():
        _tell(f"the encoder of {dialect}")
        sizes = {"tokens": options.tokens, "streams": options.readers, "rounds": options.rounds}
        found.append(encoding.measure(dialect, **sizes))
    return found


def speak(options: argparse.Namespace) -> list[Spoken]:
    """Start the stack, let every dialect have its turns, stop it."""
    plan = Plan(options.streams, 100, 20, options.streams)
    with ExitStack() as open_:
        upstream = open_.enter_context(stream.child("benchmarks.upstream", "0"))
        assert upstream.stdout is not None
        base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1"
        bench = stream.Bench(open_.enter_context(stream.child("benchmarks.load")), base)
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="countersign-bench-")))
        _tell("starting the stack")
        os.environ |= {"LOG_LEVEL": "WARNING", "LIMIT_CHAT": "1000000", "LIMIT_WRITE": "1000000"}
        bench.stack = open_.enter_context(stack.started(folder / "data", base))
        demo = folder / "data" / "demo.json"
        remembered.forget(bench.stack.base_url, demo)
        remembered.pause(bench.stack.base_url, demo)
        speaker = Speaker(bench.stack.base_url, demo)
        speaker.prefer(plan)
        return turns(bench, speaker, plan, options.rounds)


def turns(bench: stream.Bench, speaker: Speaker, plan: Plan, rounds: int) -> list[Spoken]:
    """One round of each dialect to warm up, then turns in which each has one more, the native one's first."""
    found = {dialect: Spoken(dialect) for dialect in DOORS}
    for turn in range(rounds + 1):
        samples = {}
        for dialect, spoken in found.items():
            _tell(f"{plan.name} in {dialect}, " + (f"round {turn} of {rounds}" if turn else "warm-up"))
            samples[dialect] = bench.through(speaker.round(dialect, plan))
            if turn:
                spoken.rounds.append(samples[dialect])
                spoken.native.append(samples[BESIDE.get(dialect, NATIVE)])
    return list(found.values())


def markdown(options: argparse.Namespace, encoded: Sequence[Encoding], spoken: Sequence[Spoken]) -> str:
    """The tables."""
    command = " ".join(["python -m benchmarks.dialects", *sys.argv[1:]])
    head = f"`{command}` on {datetime.now(UTC):%Y-%m-%d}: {proc.machine()}."
    columns = [
        "encoder", "CPU an event, µs (min–max)", "the same where two speak at the same time", "target", "reached?"
    ]  # fmt: skip
    parts = [head, report.table(columns, [one.row() for one in encoded])]
    if spoken:
        columns = [
            "dialect", "CPU a chunk, µs (min–max)", "of it in web", "first token, ms p50", "failed",
            "CPU over the native one's (min to max)", "target", "reached?",
        ]  # fmt: skip
        parts += [f"{options.streams} streams of 100 tokens:", report.table(columns, [one.row() for one in spoken])]
    return "\n\n".join(parts) + "\n"


def _tell(progress: str) -> None:
    print(f"… {progress}", file=sys.stderr, flush=True)


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables; 1 where an answer failed."""
    options = arguments(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is stopped
    encoded = encode(options)
    spoken = speak(options) if options.streams else []
    text = markdown(options, encoded, spoken)
    print(text)
    if options.write:
        report.write(stream.PAGE, text, START, END)
    failed = {one.dialect: one.failures() for one in spoken if one.failures()}
    if failed:
        print(f"Failed answers: {failed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
