"""What answers come to: held back before a call, settled after it, and written down whatever becomes of the chat."""

import asyncio
from decimal import Decimal
from itertools import count
from types import SimpleNamespace

import pytest

from accounts.models import Budget, BudgetHold, BudgetUse, UsageEntry
from accounts.services import budgets
from accounts.services.holds import BudgetExceeded
from agents import brain
from agents.events import RunFailed, Status
from agents.models import Provider
from agents.providers import abilities
from agents.providers.base import ProviderSpec
from chat import committing, spending
from chat.dialects.failures import RunError
from chat.models import Message, Run, RunState
from chat.runner import Runner, ending
from chat.services import conversations, finishing, leases, ledger, runs
from chat.services.ledger import Spent
from core import bridge
from tests.chat.attempting import LateWriter, attempt, told
from tests.servers import openai_server
from tests.servers.openai_server import wait_until
from tests.servers.threads import bridged

MODEL = "t40-i0"  # 10 tokens in, 40 out, by the server's own count


@pytest.fixture(autouse=True)
def _fresh():
    budgets.forget()
    brain.forget()
    yield
    budgets.forget()
    brain.forget()


@pytest.fixture
def server(transactional_db, workspace):
    with openai_server.running([MODEL]) as server, bridged():
        Provider.objects.create(
            workspace=workspace, name="one", kind="openai", base_url=server.base_url, any_model=True, priority=1
        )
        yield server


@pytest.fixture
def ask(server, workspace, smart_home, member):
    """Starts a run that the server's model of this name answers."""

    def asked(model: str = MODEL, text: str = "Hello", **options) -> Run:
        choice = brain.Choice(brain.spec(workspace.pk, "one"), model)
        conversation = conversations.new(smart_home, by=member)
        return runs.start(conversation, text=text, by=member, choice=choice, **options)

    return asked


def account(claim: leases.Claim, *spent: Spent) -> ledger.Account:
    return ledger.Account(
        claim.workspace_id, claim.conversation_id, claim.run_id, claim.user_id, claim.agent_id, spent
    )  # fmt: skip


def counted() -> list[tuple[int, Decimal]]:
    return list(BudgetUse.objects.order_by("pk").values_list("tokens", "usd"))


def test_an_answer_is_one_entry_of_the_ledger(ask, member, smart_home):
    run = ask()
    attempt()
    run.refresh_from_db()
    entry = UsageEntry.objects.get()
    assert (entry.run_id, entry.message_id, entry.session_id) == (run.pk, run.answer_id, run.conversation_id)
    assert (entry.user, entry.agent_id, entry.provider, entry.model) == (
        member.user, smart_home.agent_id, "one", MODEL,
    )  # fmt: skip
    assert (entry.input_tokens, entry.output_tokens, entry.cost_usd) == (10, 40, None)
    assert not entry.own_key
    assert not entry.estimated


def test_deleting_the_chat_takes_nothing_back(ask, workspace, member):
    Budget.objects.create(workspace=workspace, scope="each_person", tokens=20_000)
    run = ask()
    attempt()
    conversations.delete(run.conversation, by=member)
    assert UsageEntry.objects.get().run_id == run.pk
    assert counted() == [(50, 0)]


def test_a_chat_that_is_deleted_while_it_is_answered_is_written_down_all_the_same(ask, member):
    run = ask()
    [claim] = leases.claim("test", limit=1)
    conversations.delete(run.conversation, by=member)
    outcome = finishing.Outcome(
        claim.run_id, claim.conversation_id, claim.workspace_id, claim.attempt, 5, RunState.CANCELLED, [], "one", MODEL,
        account=account(claim, Spent("one", MODEL, False, 10, 4)),
    )  # fmt: skip
    assert finishing.finish([outcome]) == {}
    assert (UsageEntry.objects.get().user, UsageEntry.objects.get().output_tokens) == (member.user, 4)


def test_a_worker_that_came_too_late_writes_nothing_down(ask):
    ask()
    [claim] = leases.claim("test", limit=1)
    Run.objects.update(attempt=2)
    outcome = finishing.Outcome(
        claim.run_id, claim.conversation_id, claim.workspace_id, 1, 5, RunState.COMPLETED, [], "one", MODEL,
        account=account(claim, Spent("one", MODEL, False, 10, 4)),
    )  # fmt: skip
    assert finishing.finish([outcome]) == {}
    assert not UsageEntry.objects.exists()


def test_a_budget_counts_what_the_model_used_and_holds_nothing_afterwards(ask, workspace):
    Budget.objects.create(workspace=workspace, tokens=20_000)
    Budget.objects.create(workspace=workspace, scope="each_person", period="day", tokens=20_000)
    ask()
    attempt()
    assert counted() == [(50, 0), (50, 0)]
    assert not BudgetHold.objects.exists()


def test_a_run_over_its_budget_ends_as_failed_and_no_model_is_asked(ask, workspace, server):
    run = ask()
    Budget.objects.create(workspace=workspace, tokens=100)  # less than what is held back for an answer
    outcome = attempt()
    assert outcome is not None
    assert (outcome.state, outcome.error_code) == (RunState.FAILED, "budget_exceeded")
    [failed] = ending(outcome, None)
    assert isinstance(failed, RunFailed)
    told = RunError(failed, run).extra["budget"]
    assert told["tokens"] == {"limit": 100, "used": 0, "held": 0, "left": 100, "per_answer": 4_000}
    assert 4_000 < told["needed"]["tokens"] < 8_000, "the question is held back for too"
    run.refresh_from_db()
    assert run.state == RunState.FAILED
    assert server.chats == []
    assert not UsageEntry.objects.exists()
    assert not BudgetHold.objects.exists()


def test_what_is_over_at_the_door_is_stored_nowhere(ask, workspace):
    budget = Budget.objects.create(workspace=workspace, tokens=10_000)
    ask()
    attempt()
    budget.tokens = 50
    budget.save()
    before = Message.objects.count()
    with pytest.raises(BudgetExceeded):
        ask()
    assert (Message.objects.count(), Run.objects.count()) == (before, 1)


def test_a_provider_that_fails_without_a_word_costs_nothing(ask, workspace):
    Budget.objects.create(workspace=workspace, tokens=20_000)
    ask("status:400")
    outcome = attempt()
    assert outcome is not None
    assert outcome.state == RunState.FAILED
    assert counted() == [(0, 0)]
    assert not BudgetHold.objects.exists()
    assert not UsageEntry.objects.exists()


@pytest.mark.parametrize("model", ["cut", "no_usage"])
def test_what_no_provider_tells_is_estimated(ask, workspace, model, server):
    Budget.objects.create(workspace=workspace, tokens=20_000)
    ask(model.replace("_", "-"))
    attempt()
    entry = UsageEntry.objects.get()
    assert entry.estimated
    assert entry.input_tokens > 5
    assert entry.output_tokens > 0
    assert counted() == [(entry.tokens, 0)]


def test_who_stops_an_answer_pays_for_the_question_and_what_was_said(ask, workspace, server):
    Budget.objects.create(workspace=workspace, tokens=20_000)
    ask("stall")
    [claim] = leases.claim("test", limit=1)

    async def stopped() -> finishing.Outcome:
        writer, ended = LateWriter(), asyncio.get_running_loop().create_future()
        runner = Runner(claim, writer, lambda: None)
        runner.start(lambda _, outcome: ended.set_result(outcome))
        await bridge.in_thread(wait_until, lambda: server.chats)
        assert await bridge.in_thread(BudgetHold.objects.count) == 1
        runner.stop()
        runner.stop()
        try:
            return await asyncio.wait_for(ended, 20)
        finally:
            await writer.stop()

    outcome = asyncio.run(stopped())
    finishing.finish([outcome])
    entry = UsageEntry.objects.get()
    assert outcome.state == RunState.CANCELLED
    assert entry.estimated
    assert entry.input_tokens > 5
    wait_until(lambda: counted() == [(entry.tokens, 0)])
    assert not BudgetHold.objects.exists()


def test_without_a_budget_a_call_asks_the_database_nothing(ask, workspace, monkeypatch):
    asked = []
    monkeypatch.setattr(spending, "reserve", lambda *args: asked.append(args))
    ask()
    attempt()
    assert asked == []
    assert counted() == []


def test_what_is_remembered_of_budgets_is_not_forgotten_between_a_look_and_the_next(ask, monkeypatch):
    ticks = count(0, 2.0)  # the clock goes on by this with each look at it; it is remembered for three
    monkeypatch.setattr(budgets, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    ask()
    outcome = attempt()
    assert (outcome.state, outcome.error_code) == (RunState.COMPLETED, "")


@pytest.mark.parametrize("usage", [(10**4400, 1.0), (10**18, 1e13)])
def test_an_answer_whose_usage_is_nonsense_ends_its_run_and_spoils_no_other(ask, usage):
    strange, other = ask(), ask()
    tokens, cost = usage
    outcomes = [
        finishing.Outcome(
            claim.run_id, claim.conversation_id, claim.workspace_id, claim.attempt, 5, RunState.FAILED, [], "one",
            MODEL, usage={"input_tokens": tokens if claim.run_id == strange.pk else 4, "output_tokens": 4,
            "cost_usd": cost}, account=account(claim, Spent("one", MODEL, False, 4, 4)),
        )
        for claim in leases.claim("test", limit=2)
    ]  # fmt: skip
    committing.store(outcomes)
    assert set(Run.objects.values_list("pk", "state")) == {(run.pk, RunState.FAILED) for run in (strange, other)}
    assert UsageEntry.objects.filter(run_id=other.pk).exists()


@pytest.mark.parametrize("told", [-5, 10**18])
def test_a_provider_that_tells_nonsense_spoils_neither_ledger_nor_budget(ask, workspace, told):
    Budget.objects.create(workspace=workspace, tokens=20_000)
    run = ask()
    [claim] = leases.claim("test", limit=1)
    outcome = finishing.Outcome(
        claim.run_id, claim.conversation_id, claim.workspace_id, 1, 5, RunState.COMPLETED, [], "one", MODEL,
        account=account(claim, Spent("one", MODEL, False, told, 4, -1.0)),
    )  # fmt: skip
    assert run.pk in finishing.finish([outcome])
    entry = UsageEntry.objects.get()
    assert 0 <= entry.input_tokens <= 10**12
    assert entry.cost_usd == 0


def test_what_is_held_for_an_answer_is_the_most_that_it_is_asked_for(ask, workspace, server, settings):
    settings.BUDGET_ANSWER_TOKENS = 300
    ask()
    attempt()
    assert "max_tokens" not in server.chats[0].body  # where there is no budget an answer may be as long as it likes
    Budget.objects.create(workspace=workspace, tokens=20_000)
    budgets.forget()
    ask()
    attempt()
    assert server.chats[1].body["max_tokens"] == 300


def test_a_budget_is_never_gone_over_by_an_answer(workspace, smart_home, member, transactional_db, settings):
    """The rehearsal keeps to its limit, as providers do: it would have said 500 words."""
    settings.BUDGET_ANSWER_TOKENS = 40
    with bridged():
        choice = brain.Choice(brain.spec(workspace.pk, "rehearsal"), "rehearsal")
        Budget.objects.create(workspace=workspace, tokens=400)
        run = runs.start(
            conversations.new(smart_home, by=member), text="[[rehearse: tokens=500 interval=0]]", by=member,
            choice=choice,
        )  # fmt: skip
        outcome = attempt()
    assert outcome is not None
    entry = UsageEntry.objects.get()
    assert (outcome.state, entry.output_tokens) == (RunState.COMPLETED, 40)
    [(used, _)] = counted()
    assert used == entry.tokens <= 400
    labels = [event.label for event in told(run.pk) if isinstance(event, Status)]
    assert labels == ["cut at the model's length limit; a budget lets an answer have 40 tokens"]
    run.refresh_from_db()
    assert Message.objects.get(pk=run.answer_id).metadata == {"incomplete": "length"}


def test_an_answer_that_its_model_cut_says_so_where_it_is_stored(ask):
    for model, told_so in (("ends-with:length", {"incomplete": "length"}), ("ends-with:stop", {})):
        run = ask(model)
        attempt()
        run.refresh_from_db()
        assert Message.objects.get(pk=run.answer_id).metadata == told_so


@pytest.mark.parametrize(
    ("model", "window", "most"),
    [("claude-3-haiku", None, 4_096), ("gpt-4o", None, 100_000), ("mine", 9_000, 8_000), ("mine", 1_000, 256)],
)
def test_no_more_is_held_than_a_model_can_say(settings, model, window, most):
    settings.BUDGET_ANSWER_TOKENS = 100_000
    spec = ProviderSpec("one", "openai", "http://127.0.0.1:1/v1")
    abilities.forget()
    if window:
        abilities.learn(spec, model, abilities.Told(context_window=window))
    assert spending.longest(spec, model, 1_000) == most
    abilities.forget()
