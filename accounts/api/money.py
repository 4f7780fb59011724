"""Doors to what models were used for, what it cost, and what is left, below /v1/ai/."""

import calendar
from datetime import UTC, datetime
from typing import Any

from django.urls import re_path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.money_serializers import (
    BalanceOut,
    CostsOut,
    PageQuery,
    TotalsOut,
    TotalsQuery,
    TransactionsOut,
)
from accounts.authentication import actor_of
from accounts.models import Actor, BudgetPeriod, BudgetScope
from accounts.services import budgets, holds, usage
from accounts.services.holds import Standing
from accounts.services.usage import By
from core.schema import GUARDED, problems
from core.serializers import QuerySerializer

_ENTRY = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "created_at": "2026-11-21T09:30:00Z",
    "provider": "openai",
    "model": "gpt-4o-mini",
    "input_tokens": 812,
    "output_tokens": 164,
}
_RUN = "01890a5d-ac96-774b-bcce-b302099a8058"
COSTS = {
    **_ENTRY, "cost_usd": 0.0002202, "own_key": False, "estimated": False,
    "user_id": "01890a5d-ac96-774b-bcce-b302099a8059", "agent_id": "01890a5d-ac96-774b-bcce-b302099a805a",
    "session_id": "01890a5d-ac96-774b-bcce-b302099a805b", "run_id": _RUN,
    "message_id": "01890a5d-ac96-774b-bcce-b302099a805c",
}  # fmt: skip
COSTS_EXAMPLE = OpenApiExample("Costs", response_only=True, value={"costs": [COSTS], "next_cursor": None})
DAYS = {"from": "2026-11-01", "to": "2026-11-30"}
TOTALS_EXAMPLE = OpenApiExample(
    "By provider",
    response_only=True,
    value={
        "period": DAYS,
        "total_tokens": 976,
        "estimated_cost_usd": 0.0002202,
        "by_provider": {"openai": {"tokens": 976, "cost_usd": 0.0002202}},
    },
)
LIMIT = {
    "scope": "each_person",
    "period": "month",
    "tokens": {"limit": 500000, "used": 976, "held": 0, "left": 499024, "per_answer": 4000},
    "usd": None,
    "resets_at": "2026-12-01T00:00:00Z",
}
BALANCE_EXAMPLE = OpenApiExample(
    "What is left",
    response_only=True,
    value={"tier": "free", "period": DAYS, "allowance": 1000000, "used": 976, "left": 999024, "limits": [LIMIT]},
)
LEDGER_EXAMPLE = OpenApiExample(
    "Transactions",
    response_only=True,
    value={"transactions": [{**_ENTRY, "tokens": 976, "run_id": _RUN}], "next_cursor": None},
)


class CostsView(APIView):
    """GET /v1/ai/costs."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        parameters=[PageQuery],
        responses={200: CostsOut, **problems(*GUARDED)},
        examples=[COSTS_EXAMPLE],
        operation_id="ai_costs_list",
        tags=["costs"],
    )
    def get(self, request: Request) -> Response:
        """What runs used and cost, newest first; deleted chats are among them."""
        page = usage.page(by=actor_of(request), **PageQuery.read(request.query_params))
        return Response(CostsOut({"costs": page.rows, "next_cursor": page.next_cursor}).data)


class TotalsView(APIView):
    """GET /v1/ai/costs/aggregate."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        parameters=[TotalsQuery],
        responses={200: TotalsOut, **problems(*GUARDED)},
        examples=[TOTALS_EXAMPLE],
        tags=["costs"],
    )
    def get(self, request: Request) -> Response:
        """What was used and cost in a period, by provider, model or day."""
        asked = TotalsQuery.read(request.query_params)
        by = By(asked["by"])
        found = usage.totals(
            by=actor_of(request),
            of=by,
            first=asked.get("from"),
            last=asked.get("to"),
            workspace=asked["workspace"],
        )
        told = {
            "period": {"from": found.first, "to": found.last},
            "total_tokens": found.all.tokens,
            "estimated_cost_usd": found.all.cost_usd,
            f"by_{by}": found.named,
        }
        return Response(TotalsOut(told).data)


class BalanceView(APIView):
    """GET /v1/ai/tokens/balance."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(responses={200: BalanceOut, **problems(*GUARDED)}, examples=[BALANCE_EXAMPLE], tags=["costs"])
    def get(self, request: Request) -> Response:
        """The month's allowance of the workspace's tier, what is left of it, and the caller's other limits."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        standings = limits_of(actor)
        tier = next((one for one in standings if one.limit.of_tier), None)
        today = datetime.now(UTC).date()
        last = today.replace(day=calendar.monthrange(today.year, today.month)[1])
        told = {
            "tier": actor.workspace.tier,
            "period": {"from": today.replace(day=1), "to": last},
            "allowance": tier.limit.tokens if tier else None,
            "used": _used(actor, standings),
            "left": tier.tokens_left if tier else None,
            "limits": [holds.told(one) for one in standings],
        }
        return Response(BalanceOut(told).data)


class LedgerView(APIView):
    """GET /v1/ai/tokens/ledger."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        parameters=[PageQuery],
        responses={200: TransactionsOut, **problems(*GUARDED)},
        examples=[LEDGER_EXAMPLE],
        operation_id="ai_tokens_ledger_list",
        tags=["costs"],
    )
    def get(self, request: Request) -> Response:
        """What runs took of the tokens, newest first."""
        page = usage.page(by=actor_of(request), **PageQuery.read(request.query_params))
        return Response(TransactionsOut({"transactions": page.rows, "next_cursor": page.next_cursor}).data)


def limits_of(actor: Actor) -> list[Standing]:
    """How the limits stand that the caller's messages fall under, whichever agent answers."""
    workspace_id = actor.workspace.pk
    limits = budgets.applying(workspace_id, user_id=actor.user.pk, agent_id=None)
    return holds.standings(limits, workspace_id=workspace_id)


def _used(actor: Actor, standings: list[Standing]) -> int:
    """What the workspace used in this month: as a limit has counted it, else by the ledger."""
    for one in standings:
        if (one.limit.scope, one.limit.period) == (BudgetScope.WORKSPACE, BudgetPeriod.MONTH):
            return one.used.tokens
    return usage.of_month(actor.workspace.pk)


routes: list[Any] = [
    re_path(r"^costs/?$", CostsView.as_view()),
    re_path(r"^costs/aggregate/?$", TotalsView.as_view()),
    re_path(r"^tokens/balance/?$", BalanceView.as_view()),
    re_path(r"^tokens/ledger/?$", LedgerView.as_view()),
]
