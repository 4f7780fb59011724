"""What was used of a limit, exact under concurrency: held back before a model is asked, settled when it has answered.

Whoever holds back or settles locks the limits' rows first, always in one order; what is read of them then is the truth.
What a dead worker held counts no more once its time is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from accounts.models import BudgetPeriod, BudgetScope
from accounts.services.budgets import Limit
from core import ids
from core.errors import DomainError

NOTHING = Decimal(0)
PRUNED = 5_000
_WHOSE = {
    BudgetScope.WORKSPACE: "This workspace's budget",
    BudgetScope.EACH_PERSON: "Your budget",
    BudgetScope.PERSON: "Your budget",
    BudgetScope.AGENT: "The agent's budget",
}


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens, in and out together, and US dollars; None where no price is known or it is not the workspace's to pay."""

    tokens: int
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands: what was used of it in its period, and what is held for calls under way."""

    limit: Limit
    starts: datetime
    resets_at: datetime
    used: Amount
    held: Amount

    @property
    def tokens_gone(self) -> bool:
        """Whether no token is left."""
        return self.limit.tokens is not None and self.used.tokens >= self.limit.tokens

    @property
    def usd_gone(self) -> bool:
        """Whether no US dollar is left."""
        return self.limit.usd is not None and (self.used.usd or NOTHING) >= self.limit.usd

    @property
    def tokens_left(self) -> int | None:
        """What is neither used nor held; None where tokens are not limited."""
        return None if self.limit.tokens is None else max(0, self.limit.tokens - self.used.tokens - self.held.tokens)

    @property
    def usd_left(self) -> Decimal | None:
        """Likewise of US dollars."""
        spent = (self.used.usd or NOTHING) + (self.held.usd or NOTHING)
        return None if self.limit.usd is None else max(NOTHING, self.limit.usd - spent)


class BudgetExceeded(DomainError):
    """A limit is reached; `budget` in the problem says which, how it stands, and when it begins anew.

    Of a call that was not let through it says what would have been held back for it, the `needed`, and so does the
    detail; None at the door, where that is not known yet.
    """

    code: ClassVar[str] = "budget_exceeded"
    status: ClassVar[int] = 402
    title: ClassVar[str] = "The budget is used up"

    def __init__(self, standing: Standing, needed: Amount | None = None) -> None:
        held_back = needed and {"tokens": needed.tokens, "usd": None if needed.usd is None else float(needed.usd)}
        super().__init__(_sentence(standing, needed), extra={"budget": {**told(standing), "needed": held_back}})


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held for one call of a run, to be settled."""

    run_id: UUID
    call_id: UUID
    uses: tuple[int, ...]


_WANTED = """unnest(%(budgets)s::uuid[], %(subjects)s::uuid[], %(scopes)s::text[], %(periods)s::text[])
    WITH ORDINALITY AS wanted (budget, subject, scope, period, place)
CROSS JOIN LATERAL (SELECT date_trunc(wanted.period, clock_timestamp(), 'UTC') AS starts) AS span"""
_USE = """accounts_budgetuse AS use ON use.workspace_id = %(workspace)s AND use.budget_id = wanted.budget
    AND use.subject_id = wanted.subject AND use.starts = span.starts"""
# What the ledger has of the period; ids of entries begin with their time.
_FROM_LEDGER = """SELECT coalesce(sum(entry.input_tokens + entry.output_tokens), 0) AS tokens,
    coalesce(sum(entry.cost_usd) FILTER (WHERE NOT entry.own_key), 0) AS usd
FROM accounts_usageentry AS entry
WHERE entry.workspace_id = %(workspace)s
    AND entry.id >= (lpad(to_hex((extract(epoch FROM span.starts) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
    AND CASE wanted.scope WHEN 'workspace' THEN true WHEN 'agent' THEN entry.agent_id = wanted.subject
        ELSE entry.user_id = wanted.subject END"""
_LOCK = f"SELECT use.id, wanted.place FROM {_WANTED} JOIN {_USE} ORDER BY use.id FOR NO KEY UPDATE OF use"
_OPEN = f"""
INSERT INTO accounts_budgetuse (workspace_id, budget_id, subject_id, starts, tokens, usd)
SELECT %(workspace)s, wanted.budget, wanted.subject, span.starts, used.tokens, used.usd
FROM {_WANTED} CROSS JOIN LATERAL ({_FROM_LEDGER}) AS used
ORDER BY wanted.budget, wanted.subject ON CONFLICT DO NOTHING
"""
# After the lock, in a statement of its own, which sees all that was committed by those who had the lock before.
_HOLD = """
WITH wanted AS (
    SELECT * FROM unnest(%(uses)s::bigint[], %(most_tokens)s::bigint[], %(most_usd)s::numeric[])
        AS wanted (use, tokens, usd)),
full_up AS (
    SELECT wanted.use FROM wanted JOIN accounts_budgetuse AS use ON use.id = wanted.use
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(hold.tokens), 0) AS tokens, coalesce(sum(hold.usd), 0) AS usd
        FROM accounts_budgethold AS hold
        WHERE hold.use_id = use.id AND hold.run_id <> %(run)s AND hold.until > clock_timestamp()) AS held
    WHERE use.tokens + held.tokens + %(tokens)s > wanted.tokens OR use.usd + held.usd + %(usd)s > wanted.usd),
held AS (
    INSERT INTO accounts_budgethold (use_id, run_id, call_id, tokens, usd, until)
    SELECT wanted.use, %(run)s, %(call)s, %(tokens)s, %(usd)s, clock_timestamp() + make_interval(secs => %(seconds)s)
    FROM wanted WHERE NOT EXISTS (SELECT FROM full_up)
    ON CONFLICT (run_id, use_id) DO UPDATE SET
        call_id = excluded.call_id, tokens = excluded.tokens, usd = excluded.usd, until = excluded.until)
SELECT use FROM full_up
"""
_SETTLE = """
WITH mine AS (SELECT id FROM accounts_budgetuse WHERE id = ANY(%(uses)s) ORDER BY id FOR NO KEY UPDATE),
gone AS (DELETE FROM accounts_budgethold WHERE run_id = %(run)s AND call_id = %(call)s)
UPDATE accounts_budgetuse AS use SET tokens = use.tokens + %(tokens)s, usd = use.usd + %(usd)s
FROM mine WHERE use.id = mine.id
"""
_STANDING = f"""
SELECT span.starts, span.starts + ('1 ' || wanted.period)::interval, coalesce(use.tokens, used.tokens),
    coalesce(use.usd, used.usd), coalesce(held.tokens, 0), coalesce(held.usd, 0)
FROM {_WANTED} LEFT JOIN {_USE}
LEFT JOIN LATERAL ({_FROM_LEDGER} AND use.id IS NULL) AS used ON true
LEFT JOIN LATERAL (
    SELECT sum(hold.tokens) AS tokens, sum(hold.usd) AS usd FROM accounts_budgethold AS hold
    WHERE hold.use_id = use.id AND hold.until > clock_timestamp()) AS held ON true
ORDER BY wanted.place
"""


def reserve(limits: Sequence[Limit], *, workspace_id: UUID, run_id: UUID, most: Amount, seconds: float) -> Hold:
    """Hold back from every limit what a call may come to, or from none; raises BudgetExceeded.

    What the run held before is let go: its call is over, or died. The hold counts for `seconds` at most.
    """
    parameters = _parameters(limits, workspace_id)
    call_id = ids.new()
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_LOCK, parameters)
            uses = {place - 1: use for use, place in cursor.fetchall()}
            if len(uses) == len(limits):
                ordered = [uses[place] for place in range(len(limits))]
                amounts: dict[str, Any] = {"tokens": most.tokens, "usd": most.usd or NOTHING, "seconds": seconds}
                cursor.execute(
                    _HOLD,
                    {
                        **amounts,
                        "run": run_id,
                        "call": call_id,
                        "uses": ordered,
                        "most_tokens": [limit.tokens for limit in limits],
                        "most_usd": [
                            limit.usd if most.usd else None for limit in limits
                        ],  # what is free is let through
                    },
                )
                full = {use for (use,) in cursor.fetchall()}
                break
        with connection.cursor() as cursor:  # the first of the period
            cursor.execute(_OPEN, parameters)
    if full:
        refusing = [limit for limit, use in zip(limits, ordered, strict=True) if use in full]
        raise BudgetExceeded(standings(refusing[:1], workspace_id=workspace_id)[0], most)
    return Hold(run_id, call_id, tuple(ordered))


def settle(hold: Hold, used: Amount) -> None:
    """Count what the call came to, and let go of what was held for it."""
    with connection.cursor() as cursor:
        cursor.execute(
            _SETTLE,
            {
                "uses": list(hold.uses),
                "run": hold.run_id,
                "call": hold.call_id,
                "tokens": used.tokens,
                "usd": used.usd or NOTHING,
            },
        )


def check(limits: Sequence[Limit], *, workspace_id: UUID, free: bool = False) -> None:
    """Raises BudgetExceeded where a limit is reached already; US dollars limit nothing that is `free`."""
    for standing in standings(limits, workspace_id=workspace_id) if limits else ():
        if standing.tokens_gone or (standing.usd_gone and not free):
            raise BudgetExceeded(standing)


def standings(limits: Sequence[Limit], *, workspace_id: UUID) -> list[Standing]:
    """How the limits stand now."""
    if not limits:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, _parameters(limits, workspace_id))
        rows = cursor.fetchall()
    return [
        Standing(limit, starts, resets, Amount(int(tokens), usd), Amount(int(held), held_usd))
        for limit, (starts, resets, tokens, usd, held, held_usd) in zip(limits, rows, strict=True)
    ]


def told(standing: Standing) -> dict[str, Any]:
    """A limit as the API tells it."""
    limit = standing.limit
    tokens = (
        None
        if limit.tokens is None
        else {
            "limit": limit.tokens,
            "used": standing.used.tokens,
            "held": standing.held.tokens,
            "left": standing.tokens_left,
            "per_answer": settings.BUDGET_ANSWER_TOKENS,
        }
    )
    usd = (
        None
        if limit.usd is None
        else {
            "limit": float(limit.usd),
            "used": float(standing.used.usd or 0),
            "held": float(standing.held.usd or 0),
            "left": float(standing.usd_left or 0),
        }
    )
    return {
        "scope": "tier" if limit.of_tier else limit.scope.value,
        "period": limit.period.value,
        "tokens": tokens,
        "usd": usd,
        "resets_at": standing.resets_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }


def prune() -> int:
    """Drop what dead workers held; gives how many rows went."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM accounts_budgethold WHERE id IN ("
            "SELECT id FROM accounts_budgethold WHERE until < clock_timestamp() LIMIT %s)",
            [PRUNED],
        )
        return int(cursor.rowcount)


def _parameters(limits: Sequence[Limit], workspace_id: UUID) -> dict[str, Any]:
    return {
        "workspace": workspace_id,
        "budgets": [limit.budget_id for limit in limits],
        "subjects": [limit.subject_id for limit in limits],
        "scopes": [limit.scope.value for limit in limits],
        "periods": [limit.period.value for limit in limits],
    }


def _sentence(standing: Standing, needed: Amount | None) -> str:
    limit, starts_anew = standing.limit, f"{standing.resets_at:%Y-%m-%d %H:%M} UTC"
    whose = "The allowance of this workspace's tier" if limit.of_tier else _WHOSE[limit.scope]
    parts = []
    if limit.tokens is not None:
        parts.append(f"{standing.used.tokens:,} of {limit.tokens:,} tokens")
    if limit.usd is not None:
        parts.append(f"{standing.used.usd or 0:.2f} of {limit.usd:.2f} US dollars")
    when = "today" if limit.period == BudgetPeriod.DAY else "this month"
    used = f"{whose} does not cover this: {' and '.join(parts)} were used {when}"
    then = f"It begins anew at {starts_anew}; an admin of the workspace can raise it."
    if needed is None or standing.tokens_gone or standing.usd_gone:
        return f"{used}. {then}"
    if short := _short(limit, Amount(0), needed):
        return (
            f"{used}, but {short} are held back for a message and its answer until its length is known. That is more "
            "than all of it, so it lets none through, nor will it when it begins anew: an admin of the workspace can "
            "raise it above that, or the operator can lower BUDGET_ANSWER_TOKENS."
        )
    if short := _short(limit, standing.used, needed):
        return f"{used}, and {short} are held back for a message and its answer until its length is known. {then}"
    return f"{used}, and calls under way may take the rest. Try again when they are over. {then}"


def _short(limit: Limit, used: Amount, needed: Amount) -> str:
    """What is needed of that for which the limit has no room beside what was used; empty where it has."""
    short = []
    if limit.tokens is not None and used.tokens + needed.tokens > limit.tokens:
        short.append(f"{needed.tokens:,} tokens")
    if limit.usd is not None and needed.usd and (used.usd or NOTHING) + needed.usd > limit.usd:
        short.append(f"{needed.usd:.4f} US dollars")
    return " and ".join(short)
