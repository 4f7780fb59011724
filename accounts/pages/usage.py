"""What models were used for, as charts and tables: by day or month, person, provider and model."""

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.models import Actor, User
from accounts.pages import charts, console
from accounts.services import reports
from accounts.services.reports import Part, Row
from core.errors import Invalid

USAGE = "usage"
NOBODY = "nobody who is known any more"


@dataclass(frozen=True, slots=True)
class Period:
    """A time that can be looked at: its first and last day for a day of today, and what its columns stand for."""

    title: str
    days: Callable[[date], tuple[date, date]]
    part: Part = Part.DAY


def _month_before(today: date) -> tuple[date, date]:
    last = today.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def _year(today: date) -> tuple[date, date]:
    year, month = (today.year - 1, today.month + 1) if today.month < 12 else (today.year, 1)
    return date(year, month, 1), today


PERIODS = {
    "month": Period("This month", lambda today: (today.replace(day=1), today)),
    "before": Period("Last month", _month_before),
    "30": Period("30 days", lambda today: (today - timedelta(days=29), today)),
    "year": Period("12 months", _year, Part.MONTH),
}
UNITS = {"tokens": "tokens", "cost": "USD"}


@console.reads(USAGE)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """A period's use, in tokens or US dollars."""
    wanted, unit = request.GET.get("period", "month"), request.GET.get("in", "tokens")
    if wanted not in PERIODS or unit not in UNITS:
        raise Invalid("There is no such period or unit. Go back, and choose one.")
    first, last = PERIODS[wanted].days(datetime.now(UTC).date())

    def rows(part: Part) -> list[Row]:
        return reports.told(part, first, last, by=actor)

    timeline = rows(PERIODS[wanted].part)
    values = {name: Decimal(0) if unit == "cost" else 0 for name in _names(first, last, PERIODS[wanted].part)}
    values |= {row.name: (row.cost_usd or Decimal(0)) if unit == "cost" else row.tokens for row in timeline}
    people = rows(Part.PERSON)
    costs = [row.cost_usd for row in timeline if row.cost_usd is not None]
    context = {
        "chart": charts.columns(f"{UNITS[unit]} by {PERIODS[wanted].part.value}", values, UNITS[unit]),
        "periods": [(name, one.title, name == wanted) for name, one in PERIODS.items()],
        "units": [(name, title, name == unit) for name, title in UNITS.items()],
        "period": wanted,
        "unit": unit,
        "first": first,
        "last": last,
        "tokens": f"{sum(row.tokens for row in timeline):,}",
        "cost": charts.written(sum(costs, Decimal(0)) if costs or not timeline else None, "USD"),
        "tables": [
            ("By person", "Person", _shown(people, _people(people))),
            ("By model", "Model", _shown(rows(Part.MODEL), {})),
            ("By provider", "Provider", _shown(rows(Part.PROVIDER), {})),
        ],
    }
    return console.render(request, actor, USAGE, "console/usage.html", context)


def _names(first: date, last: date, part: Part) -> list[str]:
    """Each day or month of a period, also those on which nothing was used."""
    if part is Part.DAY:
        return [str(first + timedelta(days=place)) for place in range((last - first).days + 1)]
    found, day = [], first
    while day <= last:
        found.append(f"{day:%Y-%m}")
        day += timedelta(days=calendar.monthrange(day.year, day.month)[1])
    return found


def _people(rows: list[Row]) -> dict[str, str]:
    """The addresses of those who are in this report, which is about their use of this workspace."""
    found = User.objects.filter(pk__in=[row.name for row in rows if row.name])
    return {str(pk): email for pk, email in found.values_list("pk", "email")}


def _shown(rows: list[Row], names: dict[str, str]) -> list[dict[str, Any]]:
    """The rows as a table has them, each with the share that it has of the most."""
    most = max((row.tokens for row in rows), default=0) or 1
    return [
        {
            "name": names.get(row.name, row.name if not names and row.name else NOBODY),
            "tokens": f"{row.tokens:,}",
            "into": f"{row.input_tokens:,}",
            "out": f"{row.output_tokens:,}",
            "cost": charts.written(row.cost_usd, "USD"),
            "full": f"{row.tokens / most * 100:.1f}",
        }
        for row in rows
    ]
