"""The pictures of approvals on the admin's first page."""

import math
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from approvals import figures, shown
from approvals.models import Approval

KINDS = ("approved", "rejected", "expired", "cancelled", "superseded", "open")
GRID = ((10, "10 s"), (60, "1 min"), (600, "10 min"), (3_600, "1 h"), (36_000, "10 h"))
LONGEST = 200_000  # seconds at the top of the picture, which is logarithmic


def pictures(workspaces: list[UUID] | None) -> dict[str, Any]:
    """What the first page shows of the approvals of these workspaces, or of all."""
    rows = Approval.objects.all() if workspaces is None else Approval.objects.filter(workspace__in=workspaces)
    found = figures.last_days(rows)
    tallest = max(day.total for day in found.days)
    most = max(many for _, many in found.ages)
    return {
        "approval_days": [_bar(place, day, tallest) for place, day in enumerate(found.days)],
        "approval_tallest": tallest,
        "approval_times": [_whisker(place, day) for place, day in enumerate(found.days) if day.median is not None],
        "approval_grid": [{"y": f"{_height(seconds):.2f}", "text": text} for seconds, text in GRID],
        "approval_ages": [
            {"name": name, "many": many, "width": f"{100 * many / most if most else 0:.2f}"}
            for name, many in found.ages
        ],
        "approval_whole": found.whole,
        "approval_most": figures.MOST,
    }


def _bar(place: int, day: figures.Day, tallest: int) -> dict[str, Any]:
    """One day of the picture: its parts from the ground up, in a field of 14 by 100."""
    return {"x": place, "day": day, "parts": list(_parts(day, tallest))}


def _parts(day: figures.Day, tallest: int) -> Iterator[dict[str, str]]:
    top = 100.0
    for kind in KINDS:
        height = 100.0 * getattr(day, kind) / tallest if tallest else 0.0
        top -= height
        if height:
            yield {"kind": kind, "y": f"{top:.2f}", "height": f"{height:.2f}"}


def _whisker(place: int, day: figures.Day) -> dict[str, Any]:
    """One day's times: a mark at the median and a line up to where nine of ten lie."""
    assert day.median is not None, "a day without decisions has no whisker"
    assert day.p90 is not None, "nor one without the other"
    low, high = _height(day.median.total_seconds()), _height(day.p90.total_seconds())
    return {
        "x": place,
        "day": day,
        "median_y": f"{low - 1:.2f}",
        "p90_y": f"{high:.2f}",
        "height": f"{max(low - high, 0.5):.2f}",
        "median": shown.span(day.median),
        "p90": shown.span(day.p90),
    }


def _height(seconds: float) -> float:
    """Where a time stands in the picture, 100 at its ground."""
    return 100.0 - 100.0 * min(1.0, math.log(max(seconds, 1.0)) / math.log(LONGEST))
