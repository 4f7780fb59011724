"""What a run of the benchmark found, and the figures that it is to reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from benchmarks import proc
from benchmarks.answers import Result


@dataclass(frozen=True, slots=True)
class Plan:
    """One kind of round: so many requests at once for answers of so many tokens."""

    concurrency: int
    tokens: int
    interval: int  # ms between two tokens of the upstream
    total: int
    stream: bool = True
    remembers: bool = False  # with a companion that has a thousand memories of the person

    @property
    def model(self) -> str:
        """The upstream's model that answers so."""
        return f"t{self.tokens}-i{self.interval}"

    @property
    def name(self) -> str:
        """The plan as a row of the table calls it."""
        return f"{self.concurrency} × {self.tokens}{', with memory' if self.remembers else ''}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One round: what the client saw, and the seconds of CPU that the measured processes took by group."""

    seen: Result
    cpu: dict[str, float]

    @property
    def chunk(self) -> float:
        """µs of CPU for each token delivered, over all processes."""
        return sum(self.cpu.values()) * 1e6 / max(1, self.seen.tokens)

    @property
    def answer(self) -> float:
        """ms of CPU for each whole answer, over all processes."""
        return sum(self.cpu.values()) * 1e3 / max(1, self.seen.answers)


@dataclass(slots=True)
class Measured:
    """The rounds of one plan: through the stack, through the bare pass-through, and the upstream alone."""

    plan: Plan
    stack: list[Sample] = field(default_factory=list)
    bare: list[Sample] = field(default_factory=list)
    upstream: list[Result] = field(default_factory=list)

    def typical(self) -> Sample:
        """The stack's round whose CPU is the median."""
        return sorted(self.stack, key=lambda sample: sample.chunk)[(len(self.stack) - 1) // 2]

    def ratio(self) -> float:
        """The stack's CPU a chunk over the pass-through's, medians of both; 0 where one was not measured."""
        bare = median([sample.chunk for sample in self.bare]) if self.bare else 0.0
        return self.typical().chunk / bare if bare else 0.0

    def over(self, figure: Callable[[Result], float]) -> float:
        """The typical round's figure over the same of the upstream alone."""
        return figure(self.typical().seen) - median(figure(result) for result in self.upstream)

    def failures(self) -> int:
        """Answers that were not exactly what the upstream sent, in all rounds."""
        return sum(sum(sample.seen.errors.values()) for sample in self.stack)

    def lost(self) -> int:
        """Tokens that did not arrive or arrived twice, in all rounds."""
        return sum(sample.seen.lost + sample.seen.doubled for sample in self.stack)


@dataclass(slots=True)
class Report:
    """Everything that one run of the benchmark found."""

    command: str
    rounds: list[Measured] = field(default_factory=list)
    boot: float = 0.0
    first_boot: float = 0.0
    idle_cpu: dict[str, float] = field(default_factory=dict)  # share of one core
    memory_idle: dict[str, proc.Memory] = field(default_factory=dict)
    memory_after: dict[str, proc.Memory] = field(default_factory=dict)
    servers: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)

    def find(self, concurrency: int, tokens: int, *, stream: bool = True, remembers: bool = False) -> Measured | None:
        """The rounds of this shape, or None where they were not run."""
        shape = (concurrency, tokens, stream, remembers)
        for measured in self.rounds:
            plan = measured.plan
            if (plan.concurrency, plan.tokens, plan.stream, plan.remembers) == shape:
                return measured
        return None

    def failures(self) -> dict[str, int]:
        """What went wrong, and how often, over all rounds."""
        counts: dict[str, int] = {}
        for measured in self.rounds:
            for sample in measured.stack:
                for reason, count in sample.seen.errors.items():
                    counts[f"{measured.plan.name}: {reason}"] = counts.get(f"{measured.plan.name}: {reason}", 0) + count
        return counts


def number(value: float) -> str:
    """A figure with as many digits as are worth reading."""
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach: how it is read from a report and the bound that it must keep."""

    name: str
    bound: float
    unit: str
    read: Callable[[Report], float | None]
    at_least: bool = False

    def row(self, report: Report) -> list[str]:
        """The target's row of the table."""
        sign, value = "≥" if self.at_least else "≤", self.read(report)
        goal = f"{sign} {self.bound:g} {self.unit}".strip()
        if value is None:
            return [self.name, goal, "–", "not measured"]
        reached = value >= self.bound if self.at_least else value <= self.bound
        return [self.name, goal, number(value), "yes" if reached else "**no**"]


def _of(
    concurrency: int,
    tokens: int,
    figure: Callable[[Measured], float],
    *,
    stream: bool = True,
    cpu: bool = False,
) -> Callable[[Report], float | None]:
    def value(report: Report) -> float | None:
        measured = report.find(concurrency, tokens, stream=stream)
        return None if measured is None or (cpu and not measured.typical().cpu) else figure(measured)

    return value


def _resident(report: Report) -> float | None:
    sizes = report.memory_after
    return sizes["web"].resident + sizes["worker"].resident if {"web", "worker"} <= set(sizes) else None


def first(measured: Measured) -> float:
    """ms to the first token over the upstream's own, medians of both."""
    return measured.over(lambda result: result.first_p50)


def _for_memory(report: Report) -> float | None:
    """ms that an answer with memory needs more to its first token than one without."""
    without, remembered = report.find(1, 100), report.find(1, 100, remembers=True)
    return None if without is None or remembered is None else first(remembered) - first(without)


def _gap(measured: Measured) -> float:
    return measured.typical().seen.gap_p99


def _chunk(measured: Measured) -> float:
    return measured.typical().chunk


def rate(measured: Measured) -> float:
    """Answers a second."""
    seen = measured.typical().seen
    return seen.answers / seen.seconds if seen.seconds else 0.0


TARGETS = [
    Target("CPU a chunk, 200 streams of 100 tokens", 100, "µs", _of(200, 100, _chunk, cpu=True)),
    Target("CPU a chunk, 50 streams of 400 tokens", 50, "µs", _of(50, 400, _chunk, cpu=True)),
    Target("First token over the upstream's, p50, 1 stream", 15, "ms", _of(1, 100, first)),
    Target("the same, 50 at the same instant", 150, "ms", _of(50, 100, first)),
    Target("the same, 200 at the same instant", 450, "ms", _of(200, 100, first)),
    Target("First token later with memory than without, p50, 1 stream, 1,000 memories", 15, "ms", _for_memory),
    Target("Gap p99, 50 streams", 40, "ms", _of(50, 100, _gap)),
    Target("Gap p99, 200 streams", 80, "ms", _of(200, 100, _gap)),
    Target("Failed answers, 500 streams", 0, "", _of(500, 100, Measured.failures)),
    Target("Lost or doubled tokens, 500 streams", 0, "", _of(500, 100, Measured.lost)),
    Target("Whole answers a second, 20 at once", 150, "", _of(20, 20, rate, stream=False), at_least=True),
    Target("Web and worker resident after the rounds", 350, "MB", _resident),
]
