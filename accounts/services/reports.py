"""What a workspace used, told by person, agent, provider, model, day or month, for those who run it."""

from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from enum import StrEnum

from django.db.models import F, Sum
from django.db.models.functions import TruncDate, TruncMonth

from accounts.models import Actor, Role, UsageEntry
from accounts.services import usage
from core.errors import Invalid

MOST_NAMES = 500


class Part(StrEnum):
    """What use is told by."""

    DAY = "day"
    MONTH = "month"
    PERSON = "user_id"
    AGENT = "agent_id"
    PROVIDER = "provider"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Row:
    """What was used under a name: an id, a name or a day as text; the cost is None where no price is known."""

    name: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None

    @property
    def tokens(self) -> int:
        """In and out together."""
        return self.input_tokens + self.output_tokens


def told(part: Part, first: date, last: date, *, by: Actor) -> list[Row]:
    """The workspace's use from the first to the last day: the most first, days and months in their order.

    Raises usage.MayNotRead, or Invalid for a time too long.
    """
    if not by.may(Role.MANAGER, Role.AUDITOR):
        raise usage.MayNotRead
    if not first <= last <= first + usage.LONGEST:
        raise Invalid.field("from", f"At most {usage.LONGEST.days} days can be asked for at once.")
    times = {Part.DAY: TruncDate("created_at", tzinfo=UTC), Part.MONTH: TruncMonth("created_at", tzinfo=UTC)}
    rows = usage.between(UsageEntry.objects.filter(workspace=by.workspace), first, last)
    rows = rows.annotate(name=times.get(part, F(part.value))).values("name")
    rows = rows.annotate(come=Sum("input_tokens"), gone=Sum("output_tokens"), cost=Sum("cost_usd"))
    rows = rows.order_by("name") if part in times else rows.order_by(-(F("come") + F("gone")), "name")
    return [Row(_named(row["name"], part), row["come"], row["gone"], row["cost"]) for row in rows[:MOST_NAMES]]


def _named(name: object, part: Part) -> str:
    if name is None:
        return ""
    return f"{name:%Y-%m}" if part is Part.MONTH else str(name)
