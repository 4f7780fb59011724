"""What a campaign found, as text: each promise with the number of things that speak against it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from config import bootstrap
from tests.chaos.checks import CHECKS
from tests.chaos.evidence import Evidence

PAGE = bootstrap.BASE_DIR / "docs" / "reliability.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
SHOWN = 5  # examples of what speaks against a promise


def findings(evidence: Evidence) -> dict[str, list[str]]:
    """What speaks against each promise."""
    return {sentence: sorted(check(evidence)) for sentence, check in CHECKS.items()}


def counts(evidence: Evidence) -> Iterator[tuple[str, object]]:
    """What was done, for the head of a report."""
    actions = evidence.actions.values()
    states = Counter(action.state for action in actions)
    unknown = Counter(event.data.get("code", "") for event in evidence.audit if event.type == "action.unknown")
    retried = sum(event.type == "action.retried" for event in evidence.audit)
    effects = sum(len(found) for found in evidence.effects.values())
    calls = sum(line.what == "call" for line in evidence.sunk)
    verdicts = Counter(approval.status for approval in evidence.approvals.values())
    reads = evidence.said("read", "ok")
    again = sum(len(evidence.said(name, "info")) for name in ("read", "decide", "cancel", "meddle", "look", "list"))
    yield "actions", f"{len(actions):,} ({_listed(states)}) in {len(evidence.runs):,} runs"
    yield "requests to countersign", f"{len(evidence.approvals):,} ({_listed(verdicts)})"
    yield "calls of tools, effects", f"{calls:,}, {effects:,}; {retried} attempts were repeated"
    caught, broken = unknown.pop("worker_lost", 0), unknown.total()
    told = f"{caught} of the {len(evidence.in_flight)} actions that faults caught executing"
    yield "outcomes unknown", f"{told}; {broken} whose calls the sink broke off"
    yield "answers read to their end", f"{len(reads):,}; {again:,} requests or connections had to be tried again"
    if found := sorted(delays(evidence)):
        p50, p99 = found[len(found) // 2], found[min(len(found) - 1, len(found) * 99 // 100)]
        yield "from the verdict to the effect", f"p50 {p50:.2f} s, p99 {p99:.1f} s, at most {found[-1]:.1f} s"


def delays(evidence: Evidence) -> Iterator[float]:
    """Seconds from the last verdict of a step to each of its effects."""
    decided: dict[tuple[str, int], float] = defaultdict(float)
    for approval in evidence.approvals.values():
        action = evidence.actions[approval.action_id]
        decided[action.run_id, action.step] = max(decided[action.run_id, action.step], approval.decided_at or 0.0)
    for key, effects in evidence.effects.items():
        action = evidence.actions.get(key)
        if action is not None and (at := decided[action.run_id, action.step]):
            yield effects[0].at - at


def text(evidence: Evidence, found: dict[str, list[str]], happened: dict[str, int], head: str) -> str:
    """The whole report, in Markdown."""
    lines = [head, "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in counts(evidence)]
    lines += ["", "| against the promises speak | |", "| --- | ---: |"]
    lines += [f"| {sentence} | {len(against)} |" for sentence, against in found.items()]
    lines += ["", f"| faults: {sum(happened.values())} | |", "| --- | ---: |"]
    lines += [f"| {name} | {count} |" for name, count in sorted(happened.items(), key=lambda one: (-one[1], one[0]))]
    return "\n".join(lines)


def examples(found: dict[str, list[str]]) -> str:
    """Some of what speaks against each promise that was broken; empty where none was."""
    lines = []
    for sentence, against in found.items():
        if against:
            lines += [f"{sentence}: {len(against)}", *(f"    {one}" for one in against[:SHOWN])]
    return "\n".join(lines)


def write(told: str, page: Path = PAGE) -> None:
    """Put a report into the page, in place of the one before."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{told}\n{END}{after}")


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counted.most_common())
