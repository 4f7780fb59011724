"""The ledger of what models were used for, and what it cost: an entry for each model of a run, which stays.

Entries have ids of the database's clock, which sort by time: pages and periods are read by them alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.core import signing
from django.db.models import F, Sum
from django.db.models.functions import TruncDate

from accounts.models import Actor, Role, UsageEntry
from core import ids, prepared
from core.errors import Forbidden, Invalid

LONGEST = timedelta(days=366)
_EARLIEST, _LATEST = date(1970, 1, 1), date(9999, 12, 30)  # that an id can tell
_SALT = "accounts.usage"


class MayNotRead(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "Only those who run the workspace read what everybody used; leave `workspace` out for your own."


class By(StrEnum):
    """What use is told by."""

    PROVIDER = "provider"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a run used of a model with one key, all in all; the cost is None where no price is known."""

    workspace_id: UUID
    user_id: UUID | None
    agent_id: UUID | None
    session_id: UUID
    run_id: UUID
    message_id: UUID | None
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    own_key: bool = False
    estimated: bool = False


# The id is a UUIDv7 of the database's clock: see approvals/services/audit.py.
_RECORD = """
INSERT INTO accounts_usageentry (id, workspace_id, user_id, agent_id, session_id, run_id, message_id, provider, model,
    input_tokens, output_tokens, cost_usd, own_key, estimated, created_at)
SELECT encode(
        substring(int8send(micros / 1000) FROM 3) || int2send((28672 + mod(micros, 1000) * 4)::int2)
        || substring(uuid_send(gen_random_uuid()) FROM 9), 'hex')::uuid,
    workspace_id, user_id, agent_id, session_id, run_id, message_id, provider, model, input_tokens, output_tokens,
    cost_usd, own_key, estimated, clock.now
FROM (SELECT now, (extract(epoch FROM now) * 1000000)::bigint AS micros FROM clock_timestamp() AS now) AS clock,
unnest(%(workspaces)s::uuid[], %(users)s::uuid[], %(agents)s::uuid[], %(sessions)s::uuid[], %(runs)s::uuid[],
    %(messages)s::uuid[], %(providers)s::text[], %(models)s::text[], %(inputs)s::bigint[],
    %(outputs)s::bigint[], %(costs)s::numeric[], %(own_keys)s::boolean[], %(estimates)s::boolean[])
    AS entry (workspace_id, user_id, agent_id, session_id, run_id, message_id, provider, model, input_tokens,
        output_tokens, cost_usd, own_key, estimated)
ON CONFLICT (run_id, provider, model, own_key) DO UPDATE SET message_id = excluded.message_id,
    input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, cost_usd = excluded.cost_usd,
    estimated = excluded.estimated
WHERE NOT excluded.estimated OR excluded.input_tokens + excluded.output_tokens
    > accounts_usageentry.input_tokens + accounts_usageentry.output_tokens
"""

_COLUMNS = (
    "workspaces", "users", "agents", "sessions", "runs", "messages", "providers", "models", "inputs", "outputs",
    "costs", "own_keys", "estimates",
)  # fmt: skip


def record(entries: Sequence[Used]) -> None:
    """Write the entries in the transaction at hand, in one statement.

    What was written of a run that was deleted while it was answered gives way to what its worker knows of it.
    """
    if entries:
        single = {(entry.run_id, entry.provider, entry.model, entry.own_key): entry for entry in entries}
        columns = map(list, zip(*map(_row, single.values()), strict=True))
        prepared.execute(_RECORD, dict(zip(_COLUMNS, columns, strict=True)))


def _row(used: Used) -> tuple[Any, ...]:
    return (
        used.workspace_id,
        used.user_id,
        used.agent_id,
        used.session_id,
        used.run_id,
        used.message_id,
        used.provider,
        used.model,
        used.input_tokens,
        used.output_tokens,
        used.cost_usd,
        used.own_key,
        used.estimated,
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of entries; `next_cursor` is None on the last one."""

    rows: list[UsageEntry]
    next_cursor: str | None


def page(*, by: Actor, limit: int, cursor: str | None = None, workspace: bool = False) -> Page:
    """The caller's entries, newest first, or those of their workspace; raises MayNotRead, Invalid for a bad cursor."""
    rows = _entries(by, workspace).order_by("-pk")
    if cursor is not None:
        rows = rows.filter(pk__lt=_read_cursor(cursor))
    found = list(rows[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    return Page(found, signing.dumps(str(found[-1].pk), salt=_SALT) if more else None)


@dataclass(frozen=True, slots=True)
class Total:
    """What was used together; the cost is that of the entries whose price is known, None where that is none of them."""

    tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What was used from the first to the last day, both included, in UTC: all of it, and by name."""

    first: date
    last: date
    all: Total
    named: dict[str, Total]


def totals(
    *, by: Actor, of: By, first: date | None = None, last: date | None = None, workspace: bool = False
) -> Totals:
    """What the caller or their workspace used, this month unless told otherwise; raises MayNotRead, Invalid."""
    today = datetime.now(UTC).date()
    last = last or (max(today, first) if first else today)
    first = first or last.replace(day=1)
    if first > last:
        raise Invalid.field("to", "This must not be before `from`.")
    if last - first > LONGEST:
        raise Invalid.field("from", f"At most {LONGEST.days} days can be asked for at once.")
    name = TruncDate("created_at", tzinfo=UTC) if of is By.DAY else F(of.value)
    rows = (
        between(_entries(by, workspace), first, last)
        .annotate(name=name)
        .values("name")
        .annotate(tokens=Sum(F("input_tokens") + F("output_tokens")), cost=Sum("cost_usd"))
        .order_by("name")
    )
    named = {str(row["name"]): Total(int(row["tokens"]), row["cost"]) for row in rows}
    costs = [total.cost_usd for total in named.values() if total.cost_usd is not None]
    known = sum(costs, Decimal(0)) if costs or not named else None
    return Totals(first, last, Total(sum(total.tokens for total in named.values()), known), named)


def between(rows: Any, first: date, last: date) -> Any:
    """Those of the entries that were written from the first to the last day, both included."""
    begins = datetime.combine(max(first, _EARLIEST), time(), UTC)
    ends = datetime.combine(min(max(last, _EARLIEST), _LATEST) + timedelta(days=1), time(), UTC)
    return rows.filter(pk__gte=ids.first_since(begins), pk__lt=ids.first_since(ends))


def of_month(workspace_id: UUID) -> int:
    """The tokens that a workspace used in this month."""
    today = datetime.now(UTC).date()
    rows = between(UsageEntry.objects.filter(workspace=workspace_id), today.replace(day=1), today)
    return int(rows.aggregate(tokens=Sum(F("input_tokens") + F("output_tokens")))["tokens"] or 0)


def _entries(by: Actor, workspace: bool) -> Any:
    if not workspace:
        return UsageEntry.objects.visible_to(by)
    if not by.may(Role.MANAGER, Role.AUDITOR):
        raise MayNotRead
    return UsageEntry.objects.filter(workspace=by.workspace)


def _read_cursor(cursor: str) -> UUID:
    try:
        return UUID(signing.loads(cursor, salt=_SALT))
    except (signing.BadSignature, ValueError):
        raise Invalid.field("cursor", "This must be the `next_cursor` of a page before.", "bad_cursor") from None
