"""Lists with few rows and with many: the time of each page, and how many queries it takes.

Imports models: `countersigning.connect` comes first.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks import filling, pages
from benchmarks.countersigning import Figure, timed
from benchmarks.pages import Page

RATIO = 1.5
FLOOR = 1.0  # milliseconds within which two times are called the same
PENDING = 500
FEW = {"events": 1_000, "requests": 1_000, "pending": PENDING}
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a page took: milliseconds and queries."""

    time: float
    queries: int


def measure(manager: dict[str, str], *, events: int, requests: int, rounds: int, tell: Tell) -> list[Figure]:
    """Every page with few rows and with many, side by side; `events` and `requests` are those of many."""
    filling.people()
    filling.fill(**FEW)
    tell(f"lists of {FEW['events']:,} events and {FEW['requests']:,} requests")
    few = {page.name: _cost(page, rounds) for page in pages.every(manager)}
    tell(f"filling up to {events:,} events and {requests:,} requests")
    more = {"events": events, "requests": requests, "pending": PENDING}
    sealed = filling.fill(**{name: more[name] - FEW[name] for name in FEW})
    tell(f"lists of {events:,} events, {sealed:,} of them just sealed, and {requests:,} requests")
    figures = []
    for page in pages.every(manager):
        many = _cost(page, rounds)
        figures.append(_figure(page.name, few[page.name], many))
        if not figures[-1].reached:
            _explain(page)
    return figures


def _cost(page: Page, rounds: int) -> Cost:
    time = timed(page.get, rounds)
    with CaptureQueriesContext(connection) as captured:
        page.get()
    return Cost(time, len(captured))


def _figure(name: str, few: Cost, many: Cost) -> Figure:
    ratio = many.time / few.time
    more = f", {few.queries} → {many.queries} queries" if few.queries != many.queries else f", {many.queries} queries"
    reached = ratio <= RATIO or many.time - few.time <= FLOOR
    return Figure(name, f"{few.time:.1f} → {many.time:.1f} ms, {ratio:.2f}{more}", f"≤ {RATIO}", reached)


def _explain(page: Page) -> None:
    """Print the plan of the page's slowest query."""
    with CaptureQueriesContext(connection) as captured:
        page.get()
    slowest = max(captured.captured_queries, key=lambda query: float(query["time"]))["sql"]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {slowest}")
        plan = "\n    ".join(line for (line,) in cursor.fetchall())
    print(f"{page.name}:\n  {slowest}\n    {plan}", file=sys.stderr, flush=True)
