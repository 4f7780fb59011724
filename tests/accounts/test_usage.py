"""GET /costs, /costs/aggregate, /tokens/balance, /tokens/ledger, and the limits of /preferences."""

import datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Budget, Tier, UsageEntry
from accounts.services import budgets, usage
from core import ids


@pytest.fixture(autouse=True)
def _fresh():
    budgets.forget()
    yield
    budgets.forget()


def used(actor, *, ago: int = 0, **fields) -> UsageEntry:
    """What a run of the person used, so many days ago."""
    told = {
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 60,
        "output_tokens": 40,
        "cost_usd": Decimal("0.5"),
    }
    entry = {"agent_id": ids.new(), "session_id": ids.new(), "run_id": ids.new(), "message_id": None, **told, **fields}
    usage.record([usage.Used(workspace_id=actor.workspace.pk, user_id=actor.user.pk, **entry)])
    found = UsageEntry.objects.get(run_id=entry["run_id"])
    if ago:
        at = timezone.now() - datetime.timedelta(days=ago)
        UsageEntry.objects.filter(pk=found.pk).update(id=ids.first_since(at), created_at=at)
        found = UsageEntry.objects.get(run_id=entry["run_id"])
    return found


def test_costs_are_the_callers_own_newest_first(api, member, manager, stranger):
    first, second = used(member), used(member, cost_usd=None, own_key=True)
    used(manager)
    used(stranger)
    answer = api.get("/v1/ai/costs").json()
    assert [cost["id"] for cost in answer["costs"]] == [str(second.pk), str(first.pk)]
    assert answer["next_cursor"] is None
    assert answer["costs"][0]["cost_usd"] is None  # not known, and not nothing
    assert answer["costs"][0]["own_key"] is True
    assert answer["costs"][1]["cost_usd"] == 0.5
    assert answer["costs"][1]["user_id"] == str(member.user.pk)


def test_costs_come_page_by_page(api, member):
    made = [str(used(member).pk) for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/ai/costs", {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [cost["id"] for cost in page["costs"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]


@pytest.mark.parametrize("path", ["costs", "costs/aggregate", "tokens/ledger"])
def test_those_who_run_the_workspace_read_everybodys(path, api, client_of, member, manager, stranger):
    used(member)
    used(stranger)
    refused = api.get(f"/v1/ai/{path}", {"workspace": "true"})
    assert (refused.status_code, refused.json()["code"]) == (403, "role_required")
    answer = client_of(manager).get(f"/v1/ai/{path}", {"workspace": "true"}).json()
    rows = answer.get("costs", answer.get("transactions"))
    assert (answer["total_tokens"] == 100) if rows is None else len(rows) == 1
    own = client_of(manager).get(f"/v1/ai/{path}").json()
    assert not own.get("costs", own.get("transactions", own.get("total_tokens")))


def test_what_was_used_is_told_by_provider_model_and_day(api, member):
    used(member)
    used(member, model="gpt-4o-mini", cost_usd=Decimal("0.25"))
    used(member, provider="ollama", model="llama3.2", cost_usd=None)
    days = {"from": str(timezone.now().date()), "to": str(timezone.now().date())}
    told = api.get("/v1/ai/costs/aggregate", days).json()
    assert told == {
        "period": days,
        "total_tokens": 300,
        "estimated_cost_usd": 0.75,
        "by_provider": {
            "ollama": {"tokens": 100, "cost_usd": None},
            "openai": {"tokens": 200, "cost_usd": 0.75},
        },
    }
    by_model = api.get("/v1/ai/costs/aggregate", {**days, "by": "model"}).json()["by_model"]
    assert {name: one["tokens"] for name, one in by_model.items()} == {
        "gpt-4o": 100, "gpt-4o-mini": 100, "llama3.2": 100,
    }  # fmt: skip
    by_day = api.get("/v1/ai/costs/aggregate", {**days, "by": "day"}).json()["by_day"]
    assert by_day == {days["from"]: {"tokens": 300, "cost_usd": 0.75}}


def test_a_period_has_both_its_days_and_none_beside(api, member):
    today = timezone.now().date()
    for ago in (0, 1, 2, 3):
        used(member, ago=ago, input_tokens=10**ago, output_tokens=0)
    days = {"from": str(today - datetime.timedelta(days=2)), "to": str(today - datetime.timedelta(days=1))}
    told = api.get("/v1/ai/costs/aggregate", {**days, "by": "day"}).json()
    assert told["total_tokens"] == 110
    assert list(told["by_day"]) == sorted(days.values())


def test_a_period_without_use_cost_nothing_and_one_of_unknown_prices_nothing_known(api, member):
    assert api.get("/v1/ai/costs/aggregate").json()["estimated_cost_usd"] == 0
    used(member, cost_usd=None)
    assert api.get("/v1/ai/costs/aggregate").json()["estimated_cost_usd"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-11-02", "to": "2026-11-01"},
        {"from": "2020-01-01", "to": "2026-01-01"},
        {"from": "yesterday"},
        {"by": "person"},
        {"from": "2026-02-30"},
        {"since": "2026-01-01"},
        {"workspace": "maybe"},
    ],
)
def test_a_period_that_is_none_is_refused(api, query):
    assert api.get("/v1/ai/costs/aggregate", query).status_code == 400


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "9999-12-31"])
def test_the_ends_of_time_are_days_like_others(api, member, day):
    used(member)
    assert api.get("/v1/ai/costs/aggregate", {"from": day, "to": day}).json()["total_tokens"] == 0


@pytest.mark.parametrize("path", ["costs", "tokens/ledger"])
@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 201}, {"cursor": "nonsense"}, {"offset": 1}])
def test_a_page_that_is_none_is_refused(api, path, query):
    assert api.get(f"/v1/ai/{path}", query).status_code == 400


def test_the_ledger_tells_what_runs_took(api, member):
    entry = used(member)
    (told,) = api.get("/v1/ai/tokens/ledger", {"limit": 50}).json()["transactions"]
    assert (told["tokens"], told["input_tokens"], told["run_id"]) == (100, 60, str(entry.run_id))


def test_the_balance_of_a_workspace_without_an_allowance_is_what_it_used(api, member, manager):
    used(member)
    used(manager)
    used(manager, ago=40)
    told = api.get("/v1/ai/tokens/balance").json()
    assert (told["tier"], told["allowance"], told["used"], told["left"]) == ("self-hosted", None, 200, None)
    assert told["limits"] == []
    assert told["period"]["from"] == str(timezone.now().date().replace(day=1))


def test_the_balance_tells_what_is_left_of_the_tiers_allowance(api, member, workspace, settings):
    settings.TIER_TOKENS = {"free": 1_000}
    workspace.tier = Tier.FREE
    workspace.save()
    used(member)
    told = api.get("/v1/ai/tokens/balance").json()
    assert (told["allowance"], told["used"], told["left"]) == (1_000, 100, 900)
    assert [limit["scope"] for limit in told["limits"]] == ["tier"]


def test_preferences_tell_the_callers_limits_and_what_is_left(api, member, workspace):
    assert api.get("/v1/ai/preferences").json()["budget"] is None
    Budget.objects.create(workspace=workspace, scope="each_person", usd=Decimal(2))
    used(member)
    (limit,) = api.get("/v1/ai/preferences").json()["budget"]["limits"]
    assert (limit["scope"], limit["period"], limit["tokens"]) == ("each_person", "month", None)
    assert limit["usd"] == {"limit": 2.0, "used": 0.5, "held": 0.0, "left": 1.5}


def test_a_message_over_budget_is_refused_at_the_door_and_stored_nowhere(api, member, workspace, smart_home):
    Budget.objects.create(workspace=workspace, scope="person", user=member.user, tokens=100)
    used(member)
    answer = api.post("/v1/ai/chat", {"message": "Hello", "stream": True})
    assert (answer.status_code, answer.headers["Content-Type"]) == (402, "application/problem+json")
    problem = answer.json()
    assert problem["code"] == "budget_exceeded"
    assert problem["budget"]["tokens"] == {"limit": 100, "used": 100, "held": 0, "left": 0, "per_answer": 4_000}
    assert api.get("/v1/ai/sessions").json()["total"] == 0


def test_periods_and_pages_are_read_by_the_index_alone(member, manager):
    for _ in range(3):
        used(member)
    with CaptureQueriesContext(connection) as asked:
        usage.page(by=member, limit=2)
        usage.totals(by=manager, of=usage.By.DAY, workspace=True)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for query in asked.captured_queries:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plan = " ".join(row[0] for row in cursor.fetchall())
            assert "Index" in plan
            assert "Seq Scan" not in plan
