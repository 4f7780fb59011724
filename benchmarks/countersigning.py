"""What the parts of the benchmark of approvals share: figures, and this process's way into the stack's own servers."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import django

from benchmarks.answers import percentile
from core import embedded_home

WARM = 3  # calls that do not count


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `reached` is None where there is no target."""

    name: str
    measured: str
    target: str = "–"
    reached: bool | None = None

    def row(self) -> list[str]:
        """The line as the table has it."""
        words = {None: "–", True: "yes", False: "**no**"}
        return [self.name, self.measured, self.target, words[self.reached]]


def at_most(name: str, value: float, bound: float, unit: str, more: str = "") -> Figure:
    """A figure that must not be higher."""
    return Figure(name, f"{value:,.0f} {unit}{more}", f"≤ {bound:,.0f} {unit}", value <= bound)


def at_least(name: str, value: float, bound: float, more: str = "", *, sound: bool = True) -> Figure:
    """A figure that must not be lower, of something that was found `sound`."""
    return Figure(name, f"{value:,.0f}{more}", f"≥ {bound:,.0f}", value >= bound and sound)


def spread(seconds: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th of 100, in milliseconds."""
    return percentile(list(seconds), 50) * 1000, percentile(list(seconds), 99) * 1000


def timed(call: Callable[[], object], rounds: int) -> float:
    """The median of so many calls, in milliseconds, after a few that do not count."""
    for _ in range(WARM):
        call()
    times = []
    for _ in range(rounds):
        before = time.perf_counter()
        call()
        times.append((time.perf_counter() - before) * 1000)
    return median(times)


def connect(data_dir: Path) -> None:
    """Load Django on the servers of a folder; what imports models is imported after this."""
    home = embedded_home.find(data_dir)
    os.environ |= {
        "DATA_DIR": str(data_dir),
        "DATABASE_URL": home.database_url,
        "REDIS_URL": home.redis_url,
        "SECRET_KEY": (data_dir / "secret_key").read_text().strip(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    django.setup()
