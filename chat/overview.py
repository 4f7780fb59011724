"""The admin's first page: how the last day went, in the workspaces that the person may look into."""

import datetime
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from accounts.admin import scope
from approvals import overview as approvals
from chat import figures
from chat.models import Run, RunState
from memory.services import standing

LATE = datetime.timedelta(seconds=30)


def first_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the admin's first page shows: the last day of the workspaces that the person may look into."""
    if scope.reads(request):
        held = None if scope.sees_all(request) else scope.workspaces(request, *scope.READERS)
        day = figures.last_day(Run.objects.all() if held is None else Run.objects.filter(workspace__in=held))
        tallest = max(hour.total for hour in day.hours)
        context |= {
            "day": day,
            "cards": list(_cards(day)),
            "bars": [_bar(place, hour, tallest) for place, hour in enumerate(day.hours)],
            "tallest": tallest,
            "runs_url": reverse("admin:chat_run_changelist"),
            **approvals.pictures(held),
        }
    return context


def _cards(day: figures.Figures) -> Iterator[dict[str, str]]:
    """The figures at the top of the first page."""
    for state in RunState:
        bad = state == RunState.FAILED and day.states[state.label]
        yield {
            "title": state.label,
            "value": f"{day.states[state.label]}",
            "note": "in 24 h",
            "tone": "bad" if bad else "",
        }
    late = day.oldest_ready is not None and day.oldest_ready > LATE
    yield {
        "title": "Oldest ready run",
        "value": _span(day.oldest_ready),
        "note": "waits for a worker",
        "tone": "bad" if late else "",
    }
    note = f"95 of 100 within {_span(day.wait_p95)}"
    yield {"title": "Wait for a worker", "value": _span(day.wait_median), "note": note, "tone": ""}
    note = f"95 of 100 within {_span(day.answer_p95)}; without those that waited for people or clients"
    yield {"title": "Whole answer", "value": _span(day.answer_median), "note": note, "tone": ""}
    memory = standing.now()
    note = f"{memory.waiting_text} memories wait" if memory.ready else memory.state
    value = "ready" if memory.ready else "off" if memory.off else "missing"
    yield {"title": "Vectors for recall", "value": value, "note": note, "tone": "bad" if value == "missing" else ""}


def _span(span: datetime.timedelta | None) -> str:
    """A time as people read it."""
    if span is None:
        return "none"
    seconds = max(0.0, span.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _bar(place: int, hour: figures.Hour, tallest: int) -> dict[str, Any]:
    """One hour of the picture: its parts from the ground up, in a field of 24 by 100."""
    parts, top = [], 100.0
    for kind in ("completed", "open", "cancelled", "failed"):
        height = 100.0 * getattr(hour, kind) / tallest if tallest else 0.0
        top -= height
        if height:
            parts.append({"kind": kind, "y": f"{top:.2f}", "height": f"{height:.2f}"})
    return {"x": place, "parts": parts, "hour": hour}
