"""Budgets: who falls under which, and that what they let through is exact."""

import datetime
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import Budget, BudgetHold, BudgetUse, Tier, UsageEntry
from accounts.services import budgets, holds, usage
from accounts.services.budgets import BudgetExists, MayNotBudget
from accounts.services.holds import Amount, BudgetExceeded
from approvals.models import AuditEvent
from core import ids
from core.errors import Invalid
from tests.cast import person

AGENT, OTHER_AGENT = ids.new(), ids.new()
CALL = Amount(100, Decimal("0.01"))


@pytest.fixture(autouse=True)
def _fresh():
    budgets.forget()
    yield
    budgets.forget()


def limit_to(workspace, **fields) -> Budget:
    return Budget.objects.create(workspace=workspace, **{"tokens": 1_000, **fields})


def limits(actor, agent: UUID = AGENT):
    return budgets.applying(actor.workspace.pk, user_id=actor.user.pk, agent_id=agent)


def reserve(actor, most: Amount = CALL, *, run: UUID | None = None, agent: UUID = AGENT, seconds: float = 60):
    return holds.reserve(
        limits(actor, agent), workspace_id=actor.workspace.pk, run_id=run or ids.new(), most=most, seconds=seconds
    )


def spend(actor, amount: Amount = CALL, **how) -> None:
    holds.settle(reserve(actor, amount, **how), amount)


def used(actor, **fields) -> None:
    """An entry of the ledger, as a run's end writes it."""
    told = {
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 60,
        "output_tokens": 40,
        "cost_usd": Decimal("0.5"),
    }
    entry = {"agent_id": AGENT, "session_id": ids.new(), "run_id": ids.new(), "message_id": None, **told, **fields}
    usage.record([usage.Used(workspace_id=actor.workspace.pk, user_id=actor.user.pk, **entry)])


def test_a_workspace_without_budgets_asks_the_database_nothing(member, django_assert_num_queries):
    assert limits(member) == ()
    with django_assert_num_queries(0):
        assert limits(member) == ()
        assert budgets.remembered(member.workspace.pk, user_id=member.user.pk, agent_id=AGENT) == ()


def test_each_budget_counts_whom_it_names(workspace, member, manager, stranger):
    limit_to(workspace)
    limit_to(workspace, scope="each_person")
    limit_to(workspace, scope="person", user=member.user)
    limit_to(workspace, scope="agent", agent_id=AGENT)
    limit_to(workspace, period="day", enabled=False)
    assert [one.scope for one in limits(member)] == ["workspace", "each_person", "person", "agent"]
    assert [one.scope for one in limits(manager)] == ["workspace", "each_person", "agent"]
    assert [one.scope for one in limits(member, OTHER_AGENT)] == ["workspace", "each_person", "person"]
    assert [one.scope for one in budgets.applying(workspace.pk, user_id=None, agent_id=AGENT)] == ["workspace", "agent"]
    assert limits(stranger) == ()


def test_a_tier_has_an_allowance(workspace, member, settings):
    settings.TIER_TOKENS = {"free": 500}
    assert limits(member) == ()
    workspace.tier = Tier.FREE
    workspace.save()
    (allowance,) = limits(member)
    assert (allowance.tokens, allowance.period, allowance.of_tier) == (500, "month", True)
    spend(member, Amount(450))
    with pytest.raises(BudgetExceeded, match="The allowance of this workspace's tier does not cover this: 450 of 500"):
        reserve(member)


def test_what_one_person_used_leaves_anothers_own_budget_alone(workspace, member, manager):
    limit_to(workspace, scope="each_person", tokens=150)
    spend(member)
    with pytest.raises(BudgetExceeded):
        reserve(member)
    spend(manager)


def test_a_call_is_held_back_from_all_budgets_or_from_none(workspace, member):
    limit_to(workspace)
    limit_to(workspace, scope="agent", agent_id=AGENT, tokens=50)
    with pytest.raises(BudgetExceeded) as refused:
        reserve(member)
    assert refused.value.extra["budget"]["scope"] == "agent"
    assert not BudgetHold.objects.exists()
    spend(member, agent=OTHER_AGENT)


def test_a_refusal_names_the_budget_how_it_stands_and_when_it_begins_anew(workspace, member):
    limit_to(workspace, tokens=150, usd=Decimal(5))
    spend(member)
    with pytest.raises(BudgetExceeded) as refused:
        reserve(member)
    told = refused.value.extra["budget"]
    assert (told["scope"], told["period"]) == ("workspace", "month")
    assert told["tokens"] == {"limit": 150, "used": 100, "held": 0, "left": 50, "per_answer": 4_000}
    assert told["usd"] == {"limit": 5.0, "used": 0.01, "held": 0.0, "left": 4.99}
    resets = datetime.datetime.fromisoformat(told["resets_at"])
    assert (resets.day, resets.hour, resets.minute) == (1, 0, 0)
    assert resets > timezone.now()
    assert "begins anew at" in refused.value.detail
    assert refused.value.status == 402


def test_a_budget_below_what_one_answer_is_held_back_for_says_so_and_blames_no_call(workspace, member):
    limit_to(workspace, scope="each_person", tokens=3_000, usd=Decimal(5))
    with pytest.raises(BudgetExceeded) as refused:
        reserve(member, Amount(4_010, Decimal("0.01")))
    said = refused.value.detail
    assert said.startswith("Your budget does not cover this: 0 of 3,000 tokens and 0.00 of 5.00 US dollars were used")
    assert "but 4,010 tokens are held back for a message and its answer" in said
    assert "an admin of the workspace can raise it above that, or the operator can lower BUDGET_ANSWER_TOKENS" in said
    assert "under way" not in said


def test_a_budget_with_too_little_left_for_an_answer_says_what_that_takes(workspace, member):
    limit_to(workspace, tokens=150, usd=Decimal("0.015"))
    spend(member)
    with pytest.raises(
        BudgetExceeded, match="and 100 tokens and 0.0100 US dollars are held back for a message"
    ) as refused:
        reserve(member)
    assert "under way" not in refused.value.detail


def test_dollars_limit_what_costs_the_workspace_money_alone(workspace, member):
    limit_to(workspace, tokens=None, usd=Decimal("0.015"))
    spend(member)
    with pytest.raises(BudgetExceeded, match=r"0\.01 of 0\.0?1?\d* US dollars"):
        reserve(member)
    spend(member, Amount(1_000_000))  # no price, or a key of one's own


def test_what_was_held_and_not_used_is_free_again(workspace, member):
    limit_to(workspace, tokens=100)
    hold = reserve(member)
    with pytest.raises(BudgetExceeded, match="calls under way may take the rest"):
        reserve(member, Amount(1))
    holds.settle(hold, Amount(30))
    spend(member, Amount(70))


def test_the_next_attempt_of_a_run_takes_over_what_a_dead_one_held(workspace, member):
    limit_to(workspace, tokens=100)
    run = ids.new()
    died = reserve(member, run=run)
    again = reserve(member, run=run)
    holds.settle(died, Amount(10))  # it was only slow: what it used counts, and what the other holds stays held
    (standing,) = holds.standings(limits(member), workspace_id=workspace.pk)
    assert (standing.used.tokens, standing.held.tokens) == (10, 100)
    holds.settle(again, Amount(20))
    (standing,) = holds.standings(limits(member), workspace_id=workspace.pk)
    assert (standing.used.tokens, standing.held.tokens, standing.tokens_left) == (30, 0, 70)


def test_what_a_dead_worker_held_counts_no_more_once_its_time_is_over(workspace, member):
    limit_to(workspace, tokens=100)
    reserve(member, seconds=-1)
    reserve(member)
    assert holds.prune() == 1
    assert BudgetHold.objects.count() == 1


def test_a_new_budget_counts_what_the_ledger_has_of_its_period(workspace, member, manager):
    used(member)
    used(member, own_key=True)
    used(manager, agent_id=OTHER_AGENT)
    UsageEntry.objects.filter(user=manager.user).update(
        id=ids.first_since(timezone.now() - datetime.timedelta(days=40))
    )
    limit_to(workspace, usd=Decimal(10))
    limit_to(workspace, scope="agent", agent_id=OTHER_AGENT)
    expected = [(200, Decimal("0.5"))]
    assert [
        (one.used.tokens, one.used.usd) for one in holds.standings(limits(member), workspace_id=workspace.pk)
    ] == expected
    spend(member)
    (standing,) = holds.standings(limits(member), workspace_id=workspace.pk)
    assert (standing.used.tokens, standing.used.usd) == (300, Decimal("0.51"))


def test_another_period_begins_with_nothing(workspace, member):
    limit_to(workspace, tokens=100)
    spend(member)
    BudgetUse.objects.update(starts=timezone.now() - datetime.timedelta(days=32))
    spend(member)
    with pytest.raises(BudgetExceeded):
        reserve(member)


@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_against_a_budget_for_ten_let_exactly_ten_through(workspace, owner, member):
    """Two budgets, opened by the race itself, and settled within it."""
    limit_to(workspace, tokens=10 * CALL.tokens)
    limit_to(workspace, scope="each_person", period="day", usd=Decimal(100))
    limits(member)
    barrier = Barrier(50)

    def one(number: int) -> bool:
        try:
            barrier.wait(30)
            hold = reserve(member)
            holds.settle(hold, CALL)
        except BudgetExceeded:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(50) as pool:
        let_through = sum(pool.map(one, range(50)))
    assert let_through == 10
    month, day = holds.standings(limits(member), workspace_id=workspace.pk)
    assert (month.used.tokens, month.held.tokens) == (1_000, 0)
    assert (day.used.usd, day.held.usd) == (Decimal("0.1"), 0)


def test_a_change_is_logged_and_holds_at_once(workspace, owner, member):
    budget = budgets.save(Budget(workspace=workspace, tokens=100), by=owner)
    assert [one.tokens for one in limits(member)] == [100]
    budget.tokens = 200
    budgets.save(budget, by=owner)
    assert [one.tokens for one in limits(member)] == [200]
    budgets.remove(budget, by=owner)
    assert limits(member) == ()
    assert AuditEvent.objects.filter(type="budget.changed", target_id=budget.pk).count() == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"tokens": None},
        {"scope": "person"},
        {"scope": "agent"},
    ],
)
def test_a_budget_that_does_not_fit_together_is_refused(workspace, owner, fields):
    with pytest.raises(Invalid):
        budgets.save(Budget(workspace=workspace, **{"tokens": 100, **fields}), by=owner)


def test_a_budget_names_a_member_and_keeps_what_it_counts(workspace, owner, stranger):
    with pytest.raises(Invalid):
        budgets.save(Budget(workspace=workspace, tokens=1, scope="person", user=stranger.user), by=owner)
    budget = budgets.save(Budget(workspace=workspace, tokens=1), by=owner)
    budget.period = "day"
    with pytest.raises(Invalid):
        budgets.save(budget, by=owner)
    with pytest.raises(BudgetExists):
        budgets.save(Budget(workspace=workspace, tokens=2), by=owner)


def test_only_an_admin_of_the_workspace_changes_budgets(workspace, manager, other_workspace):
    there = person(other_workspace, "boss", "admin")
    for who in (manager, there):
        with pytest.raises(MayNotBudget):
            budgets.save(Budget(workspace=workspace, tokens=100), by=who)
    assert not Budget.objects.exists()
