"""What a run used, in the ledger by model and key, once and all of it, whatever became of the run."""

import asyncio
from decimal import Decimal

import pytest

from accounts.models import UsageEntry
from accounts.services import budgets, usage
from accounts.services.usage import By
from agents import brain, ownkeys
from agents.models import Provider, ProviderKey
from agents.providers import prices
from agents.providers.base import ToolCall
from chat import answering, committing
from chat.models import Run, RunState
from chat.runner import Runner
from chat.services import conversations, families, finishing, leases, ledger, proposing, runs
from chat.services.ledger import Spent
from core import bridge
from tests.chat.attempting import LateWriter, attempt
from tests.servers import openai_server
from tests.servers.openai_server import wait_until
from tests.servers.threads import bridged


@pytest.fixture(autouse=True)
def _fresh():
    for forget in (budgets.forget, brain.forget, ownkeys.forget):
        forget()
    yield
    for forget in (budgets.forget, brain.forget, ownkeys.forget):
        forget()


@pytest.fixture
def servers(transactional_db, workspace):
    """Two providers, `one` before `two`, whose models have prices; the second may answer for the first."""
    with openai_server.running(["t9-i0"]) as first, openai_server.running(["t2-i0"]) as second, bridged():
        for priority, (name, server) in enumerate([("one", first), ("two", second)]):
            Provider.objects.create(
                workspace=workspace, name=name, kind="openai", base_url=server.base_url, api_key="k",
                any_model=name == "one", priority=priority,
            )  # fmt: skip
        workspace.allow_fallback = True
        workspace.save()
        yield first, second


@pytest.fixture
def ask(servers, workspace, smart_home, member):
    def asked(model: str, provider: str = "one") -> Run:
        choice = brain.Choice(brain.spec(workspace.pk, provider, member.user.pk), model)
        return runs.start(conversations.new(smart_home, by=member), text="Hello", by=member, choice=choice)

    return asked


def by_model(run: Run) -> dict[str, tuple[int, int]]:
    rows = UsageEntry.objects.filter(run_id=run.pk)
    return {row.model: (row.input_tokens, row.output_tokens) for row in rows}


class Attempt:
    """An attempt whose end is not stored: it can be left in mid-answer."""

    def __init__(self, claim: leases.Claim) -> None:
        self.claim = claim

    def leave(self, when, how) -> Runner:
        """Answer until `when` holds, then do `how` to the runner, and wait until it has ended."""

        async def work() -> Runner:
            writer, ended = LateWriter(), asyncio.get_running_loop().create_future()
            runner = Runner(self.claim, writer, lambda: None)
            runner.start(lambda _, outcome: ended.set_result(outcome))
            try:
                await bridge.in_thread(wait_until, when)
                self.said = await bridge.in_thread(how, runner) if how is not None else None
                self.account = runner.account
                runner.abandon()
                assert await asyncio.wait_for(ended, 20) is None
            finally:
                await writer.stop()
            return runner

        return asyncio.run(work())


def test_each_model_of_a_run_has_an_entry_of_its_own(ask, member):
    run = ask("t3-i0")
    [claim] = leases.claim("test", limit=1)
    spent = (
        Spent("one", "t3-i0", False, 10, 3, 0.25),
        Spent("one", "t3-i0", True, 5, 1, 0.125),
        Spent("two", "t2-i0", False, 7, 2, None, estimated=True),
    )
    account = ledger.Account(
        claim.workspace_id, claim.conversation_id, claim.run_id, claim.user_id, claim.agent_id, spent
    )  # fmt: skip
    outcome = finishing.Outcome(
        claim.run_id, claim.conversation_id, claim.workspace_id, 1, 5, RunState.COMPLETED,
        [{"type": "text", "text": "Hi"}], "two", "t2-i0", account=account,
    )  # fmt: skip
    finishing.finish([outcome])
    rows = {(row.provider, row.model, row.own_key): row for row in UsageEntry.objects.filter(run_id=run.pk)}
    assert {key: (row.tokens, row.cost_usd, row.estimated) for key, row in rows.items()} == {
        ("one", "t3-i0", False): (13, Decimal("0.25"), False),
        ("one", "t3-i0", True): (6, Decimal("0.125"), False),
        ("two", "t2-i0", False): (9, None, True),
    }
    assert {row.message_id for row in rows.values()} == {outcome.message_id}
    named = usage.totals(by=member, of=By.PROVIDER)
    assert {name: (total.tokens, total.cost_usd) for name, total in named.named.items()} == {
        "one": (19, Decimal("0.375")),
        "two": (9, None),
    }
    assert named.all.tokens == 28


def test_the_one_that_fails_over_and_the_one_that_answers_are_told_apart(ask, servers, monkeypatch):
    """A turn by the first, then the first falls ill: the second goes on."""
    run = ask("t3-i0")
    [claim] = leases.claim("test", limit=1)

    async def two_turns() -> tuple:
        answerer = answering.Answerer(claim)
        async for _ in answerer.turn([], ()):
            pass
        answerer.model = "status:503"
        async for _ in answerer.turn([], ()):
            pass
        return answerer.meter.spent

    spent = asyncio.run(two_turns())
    assert {(one.provider, one.model, one.output_tokens) for one in spent} == {("one", "t3-i0", 3), ("two", "t2-i0", 2)}
    assert Run.objects.get(pk=run.pk).provider == "two"


def test_whose_key_it_was_is_what_held_when_the_model_was_asked(ask, servers, workspace, member, settings):
    settings.OPENAI_BASE_URL = servers[0].base_url
    ProviderKey.objects.create(workspace=workspace, user=member.user, provider="openai", api_key="sk-own-0123456789")
    run = ask("no-usage", "openai")
    [claim] = leases.claim("test", limit=1)

    async def answered() -> ledger.Account:
        answerer = answering.Answerer(claim)
        async for _ in answerer.turn([], ()):
            pass
        return answerer.meter.account

    account = asyncio.run(answered())
    leases.checkpoint([leases.Checkpoint(run.pk, 1, 5, [], account.spent)])
    ProviderKey.objects.all().delete()
    ownkeys.forget()
    leases.release([(run.pk, 1, account.spent)])
    runs.cancel(Run.objects.get(pk=run.pk), by=member)
    assert UsageEntry.objects.get().own_key


def test_a_checkpoint_that_comes_late_takes_nothing_back_of_what_a_step_spent(ask, servers):
    run = ask("t3-i0")
    [claim] = leases.claim("test", limit=1)
    before, after = ([Spent("one", "m", False, count, count, None)] for count in (5, 50))
    call = ToolCall("call_1", "no_such_tool", {})
    step = proposing.Step(
        run_id=run.pk, attempt=1, number=1, seq=10, parts=[], usage=None, calls=[call], spent=after
    )  # fmt: skip
    assert proposing.propose(step) == []
    assert leases.checkpoint([leases.Checkpoint(run.pk, claim.attempt, 9, [], before)]) == {run.pk: False}
    run.refresh_from_db()
    assert list(ledger.read(run.spent)) == after
    newer = [Spent("one", "m", False, 60, 60, None)]
    leases.checkpoint([leases.Checkpoint(run.pk, claim.attempt, 10, [], newer)])
    run.refresh_from_db()
    assert list(ledger.read(run.spent)) == newer


def test_what_was_estimated_outlasts_a_wait(ask, servers, member):
    """The run's worker lets go of it while people are asked, and somebody cancels it then."""
    run = ask("t3-i0")
    [claim] = leases.claim("test", limit=1)
    spent = [Spent("one", "t3-i0", False, 30, 12, None, estimated=True)]
    call = ToolCall("call_1", "no_such_tool", {})
    part = {"type": "tool_call", "call_id": "call_1", "name": call.name, "arguments": {}}
    step = proposing.Step(
        run_id=run.pk, attempt=1, number=1, seq=10, parts=[part], usage=None, calls=[call], spent=spent
    )  # fmt: skip
    assert proposing.propose(step) == []
    leases.release([(run.pk, 1, spent)])
    [again] = leases.claim("test", limit=1)
    assert again.spent == tuple(spent)
    assert families.taken(run.pk, but=claim.agent_id).output_tokens == 12
    leases.release([(run.pk, 2, again.spent)])
    runs.cancel(Run.objects.get(pk=run.pk), by=member)
    [entry] = UsageEntry.objects.all()
    assert (entry.tokens, entry.estimated) == (42, True)


def test_what_a_worker_that_stops_had_asked_for_is_counted_with_what_comes_after(ask, servers):
    run = ask("stall")
    [claim] = leases.claim("test", limit=1)
    first = Attempt(claim)
    first.leave(lambda: servers[0].chats, lambda runner: leases.release([(run.pk, 1, runner.account.spent)]))
    [one] = first.account.spent
    assert one.estimated
    assert one.input_tokens > 5
    Run.objects.filter(pk=run.pk).update(model="t3-i0")
    outcome = attempt()
    assert outcome is not None
    assert outcome.state == RunState.COMPLETED
    assert by_model(run) == {"stall": (one.input_tokens, one.output_tokens), "t3-i0": (10, 3)}


@pytest.mark.parametrize("checkpointed", [True, False])
def test_a_chat_that_is_deleted_in_mid_answer_is_in_the_ledger_once(ask, servers, member, checkpointed):
    run = ask("stall")
    [claim] = leases.claim("test", limit=1)

    def delete(runner: Runner) -> int:
        if checkpointed:
            leases.checkpoint([runner.checkpoint()])
        conversations.delete(Run.objects.get(pk=run.pk).conversation, by=member)
        return UsageEntry.objects.count()

    left = Attempt(claim)
    runner = left.leave(lambda: servers[0].chats, delete)
    assert left.said == checkpointed  # should its worker die now, what was stored is written already
    ledger.record_deleted([runner.account])
    ledger.record_deleted([runner.account])
    [entry] = UsageEntry.objects.all()
    assert (entry.run_id, entry.user, entry.estimated) == (run.pk, member.user, True)
    assert entry.tokens == sum(one.input_tokens + one.output_tokens for one in runner.account.spent) > 5


def test_a_run_that_another_worker_has_is_not_written_by_the_one_that_let_go(ask):
    ask("t3-i0")
    [claim] = leases.claim("test", limit=1)
    account = ledger.Account(
        claim.workspace_id, claim.conversation_id, claim.run_id, claim.user_id, claim.agent_id,
        (Spent("one", "t3-i0", False, 10, 3),),
    )  # fmt: skip
    ledger.record_deleted([account])
    assert not UsageEntry.objects.exists()


def test_what_the_provider_tells_in_the_end_takes_the_place_of_an_estimate(ask, member):
    run = ask("t3-i0")
    [claim] = leases.claim("test", limit=1)

    def account(*spent: Spent) -> ledger.Account:
        return ledger.Account(
            claim.workspace_id, claim.conversation_id, claim.run_id, claim.user_id, claim.agent_id, spent
        )  # fmt: skip

    leases.checkpoint([leases.Checkpoint(run.pk, 1, 5, [], [Spent("one", "m", False, 40, 20, None, estimated=True)])])
    conversations.delete(Run.objects.get(pk=run.pk).conversation, by=member)
    ledger.record_deleted([account(Spent("one", "m", False, 40, 10, None, estimated=True))])
    assert UsageEntry.objects.get().tokens == 60
    ledger.record_deleted([account(Spent("one", "m", False, 30, 10))])
    entry = UsageEntry.objects.get()
    assert (entry.tokens, entry.estimated) == (40, False)


def test_a_summary_by_another_model_is_in_the_ledger_beside_the_answer(ask, monkeypatch):
    """Each call is written under who was asked, at that one's price."""
    monkeypatch.setattr(prices, "cost", lambda url, model, given, answer, **_: {"t3-i0": 0.5}.get(model))
    run = ask("t3-i0")
    attempt()
    [entry] = UsageEntry.objects.filter(run_id=run.pk)
    assert entry.cost_usd == Decimal("0.5")


def test_a_poisoned_ledger_line_does_not_keep_a_run_from_its_end(ask):
    run = ask("t3-i0")
    [claim] = leases.claim("test", limit=1)
    account = ledger.Account(
        claim.workspace_id, claim.conversation_id, claim.run_id, claim.user_id, claim.agent_id,
        (Spent("o" * 100, "m", False, 1, 1),),
    )  # fmt: skip
    outcome = finishing.Outcome(
        claim.run_id, claim.conversation_id, claim.workspace_id, 1, 5, RunState.COMPLETED, [], "one", "m",
        account=account,
    )  # fmt: skip
    [(stored, _)] = committing.store([outcome]).values()
    assert (stored.state, stored.seq) == (RunState.FAILED, 4)
    assert Run.objects.get(pk=run.pk).state == RunState.FAILED


def test_what_has_no_price_takes_none_from_what_has_one():
    dear, free = Spent("one", "dear", False, 10, 5, 2.0), Spent("two", "mine", False, 10, 5, None)
    mixed = Spent("one", "dear", False, 1, 1, None)
    [summed] = ledger.summed([dear, mixed, dear])
    assert (summed.cost_usd, summed.known_usd) == (None, 4.0)
    assert ledger.read(ledger.written([summed])) == (summed,)
    assert ledger.total([free, summed, dear]).cost_usd == 6.0


def test_a_run_with_a_model_without_a_price_is_held_to_its_money_all_the_same(ask, settings):
    settings.RUN_MAX_COST_USD = 1.0
    run = ask("t2-i0")
    Run.objects.filter(pk=run.pk).update(
        spent=ledger.written([Spent("one", "mine", False, 5, 5, None), Spent("two", "dear", False, 5, 5, 1.5)])
    )
    outcome = attempt()
    assert (outcome.state, outcome.error_code) == (RunState.FAILED, "cost_limit")
