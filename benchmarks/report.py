"""The benchmark's figures as Markdown."""

import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median

from benchmarks import proc
from benchmarks.figures import TARGETS, Report, first, rate

START, END = "<!-- bench:start -->", "<!-- bench:end -->"
PACKAGES = ("django", "uvicorn", "uvloop", "celery", "redis", "psycopg", "httpx", "aiohttp", "msgspec")


def markdown(report: Report) -> str:
    """The whole report: errors first, then targets, rounds, CPU by group, and memory."""
    failures = report.failures()
    errors = "; ".join(f"{count} × {reason}" for reason, count in failures.items()) or "none"
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    lines = [
        f"`{report.command}` on {datetime.now(UTC):%Y-%m-%d}: {proc.machine()}; "
        f"Python {platform.python_version()}, {packages}" + "".join(f"; {server}" for server in report.servers) + ".",
        f"Failed answers: {errors}. Processes left behind: {', '.join(report.left_behind) or 'none'}.",
        "### Targets",
        table(["figure", "target", "measured", "reached?"], [target.row(report) for target in TARGETS]),
        "### Streams",
        _streams(report),
        "### CPU by process, µs a chunk",
        _groups(report),
        *_answers(report),
        *_residents(report),
    ]
    return "\n\n".join(lines) + "\n"


def _streams(report: Report) -> str:
    rows = []
    for measured in (m for m in report.rounds if m.plan.stream):
        seen, chunks = measured.typical().seen, [sample.chunk for sample in measured.stack]
        bare = f"{median([s.chunk for s in measured.bare]):.0f}" if measured.bare else "–"
        known = bool(measured.typical().cpu)
        rows.append([
            measured.plan.name,
            f"{median(chunks):.0f} ({min(chunks):.0f}–{max(chunks):.0f})" if known else "–",
            bare,
            f"{measured.ratio():.1f}" if known and measured.bare else "–",
            f"{first(measured):.0f} / {measured.over(lambda result: result.first_p99):.0f}",
            f"{median(r.first_p50 for r in measured.upstream):.0f}",
            f"{seen.gap_p50:.0f} / {seen.gap_p99:.0f}",
            f"{seen.deltas / max(1, seen.tokens):.2f}",
            str(measured.failures()),
            str(measured.lost()),
        ])  # fmt: skip
    head = [
        "streams × tokens", "CPU a chunk, µs (min–max)", "bare pass-through, µs", "ratio",
        "first token over the upstream's, ms p50 / p99", "the upstream's own p50", "gap, ms p50 / p99",
        "events a token", "failed", "lost or doubled",
    ]  # fmt: skip
    return table(head, rows)


def _groups(report: Report) -> str:
    groups = [*proc.GROUPS, proc.OTHERS]
    rows = []
    for measured in (m for m in report.rounds if m.plan.stream and m.typical().cpu):
        sample = measured.typical()
        shares = [f"{sample.cpu[group] * 1e6 / max(1, sample.seen.tokens):.1f}" for group in groups]
        rows.append([measured.plan.name, *shares, f"{sample.chunk:.1f}", f"{sample.seen.cpu:.1f}"])
    return table(["streams × tokens", *groups, "sum", "load generator (not in the sum)"], rows)


def _answers(report: Report) -> list[str]:
    rows = []
    for measured in (m for m in report.rounds if not m.plan.stream):
        rates = [sample.seen.answers / sample.seen.seconds for sample in measured.stack]
        sample = measured.typical()
        rows.append([
            f"{measured.plan.concurrency} at once, {measured.plan.tokens} tokens"
            + (", with memory" if measured.plan.remembers else ""),
            f"{rate(measured):.0f} ({min(rates):.0f}–{max(rates):.0f})",
            f"{sample.answer:.1f}" if sample.cpu else "–",
            f"{sample.seen.first_p50:.0f} / {sample.seen.first_p99:.0f}",
            str(measured.failures()),
        ])  # fmt: skip
    head = ["non-streamed", "answers a second (min–max)", "CPU an answer, ms", "time, ms p50 / p99", "failed"]
    return ["### Whole answers", table(head, rows)] if rows else []


def _residents(report: Report) -> list[str]:
    if not report.memory_after:
        return []
    rows = []
    for group, after in report.memory_after.items():
        idle = report.memory_idle.get(group, proc.Memory(0, 0, 0))
        rows.append([
            group,
            f"{idle.processes} → {after.processes}",
            f"{idle.resident:.0f} → {after.resident:.0f}",
            f"{idle.shared_out:.0f} → {after.shared_out:.0f}",
            f"{report.idle_cpu.get(group, 0) * 100:.1f}",
        ])  # fmt: skip
    head = [
        "process",
        "how many",
        "RSS, MB idle → after",
        "PSS, MB idle → after",
        "CPU idle, % of a core",
    ]
    boots = (
        f"From start to healthy: {report.boot:.1f} s on a prepared folder, {report.first_boot:.1f} s on an empty one."
    )
    return ["### Memory and start", table(head, rows), *([boots] if report.boot else [])]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(page: Path, text: str, start: str = START, end: str = END) -> None:
    """Replace the page's marked block; raises ValueError where the page has no such block."""
    old = page.read_text()
    block = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not block.search(old):
        raise ValueError(f"{page} has no block between {start} and {end}")
    page.write_text(block.sub(lambda _: f"{start}\n{text}{end}", old))


def versions(executables: set[str]) -> list[str]:
    """What each server says of itself, such as `postgres (PostgreSQL) 18.0`."""
    commands = [[path, "--version"] for path in sorted(executables)]
    said = [subprocess.run(command, capture_output=True, text=True, check=False).stdout for command in commands]
    return [text.partition(" malloc")[0].strip() for text in said]
