"""Charts as SVG that the server draws, with the same numbers as a table beside each: shapes carry no inline style."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

WIDTH, HEIGHT = 720, 230
LEFT, RIGHT, BOTTOM, TOP = 36, 24, 34, 34  # room for letters that are twice as large, as on a phone
LABELS = 8  # below the columns
Number = int | Decimal


@dataclass(frozen=True, slots=True)
class Column:
    """One column: where it stands, and what it says."""

    name: str
    value: str
    x: str
    y: str
    width: str
    height: str
    middle: str
    label: str  # empty where there is no room for one


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns over a scale from nothing to `most`."""

    title: str
    unit: str
    columns: list[Column]
    most: str
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    base: int = HEIGHT - BOTTOM
    top: int = TOP


@dataclass(frozen=True, slots=True)
class Meter:
    """How much of a limit is used: the width of 100 that is full, what it says, and how near its end it is."""

    full: str
    text: str
    state: str  # "", "near" or "over"


def columns(title: str, values: Mapping[str, Number], unit: str) -> Chart:
    """The values as columns, in their order."""
    most = max(values.values(), default=0) or 1
    room = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    width = min(48.0, max(1.0, room * 0.78))
    every = -(-len(values) // LABELS) or 1
    base, tall = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    made = []
    for place, (name, value) in enumerate(values.items()):
        height = float(value) / float(most) * tall
        x = LEFT + room * place + (room - width) / 2
        made.append(
            Column(
                name=name,
                value=written(value, unit),
                x=f"{x:.1f}",
                y=f"{base - height:.1f}",
                width=f"{width:.1f}",
                height=f"{height:.1f}",
                middle=f"{x + width / 2:.1f}",
                label=_short(name) if place % every == 0 else "",
            )
        )
    highest = max(values, key=lambda name: values[name], default="")
    summary = f"{title}: the most is {written(most, unit)} on {highest}." if any(values.values()) else f"{title}: none."
    return Chart(title, unit, made, written(most, unit) if any(values.values()) else "0", summary)


def _short(name: str) -> str:
    """A day without its year; other names as they are."""
    return name[5:] if len(name) == len("2026-01-31") else name


def meter(used: Number, limit: Number, unit: str) -> Meter:
    """The use of a limit."""
    share = float(used) / float(limit) if limit else 1.0
    state = "over" if share >= 1 else "near" if share >= 0.8 else ""
    text = f"{written(used, unit)} of {written(limit, unit)} ({share:.0%})"
    return Meter(f"{min(1.0, share) * 100:.1f}", text, state)


def written(value: Number | None, unit: str) -> str:
    """A number as people read it."""
    if value is None:
        return "not known"
    if unit != "USD":
        return f"{value:,}"
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:,.4f}"
