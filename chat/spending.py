"""What one attempt at a run spends on models: held back from its budgets before each call, settled after it.

A run that falls under no budget asks the database nothing here.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property, partial
from uuid import UUID

from django.conf import settings
from msgspec import structs

from accounts.services import budgets, holds
from accounts.services.budgets import Limit
from accounts.services.holds import Amount, Hold
from agents import loop
from agents.events import LENGTH, ReasoningDelta, Status, TextDelta, Usage, added
from agents.providers import abilities, prices, profiles
from agents.providers.base import ChatRequest, ProviderError, ProviderSpec, Spoken, ToolCall
from chat import compaction
from chat.services import ledger
from chat.services.leases import Claim
from chat.services.ledger import Account, Spent, believed, believed_usd
from core import bridge

GRACE_SECONDS = 60.0  # a hold outlives the longest run by so much
LEAST_ANSWER = 256  # tokens that are left for an answer where the question, as it is estimated, fills the window

_releasing: set[asyncio.Future[None]] = set()  # a task that nobody holds may vanish before its end


class Meter:
    """Asks models for one attempt at a run, and counts what that takes, with what attempts before it took."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._spent = claim.spent
        self._call: Call | None = None

    @property
    def spent(self) -> tuple[Spent, ...]:
        """What was used so far by provider, model and key, with the call under way as far as it went."""
        now = self._call.spent() if self._call else None
        return self._spent if now is None else ledger.summed([*self._spent, now])

    @property
    def taken(self) -> Usage | None:
        """All of it together as limits count it, whoever answered."""
        return ledger.total(self.spent)

    @property
    def account(self) -> Account:
        """On whose account it is, and what was used so far."""
        claim = self._claim
        return Account(
            workspace_id=claim.workspace_id,
            session_id=claim.conversation_id,
            run_id=claim.run_id,
            user_id=claim.user_id,
            agent_id=claim.agent_id,
            spent=self.spent,
        )

    async def turn(self, spec: ProviderSpec, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """As `loop.turn`, with an answer no longer than what is held for it; raises BudgetExceeded too, at first."""
        held = await self._hold(spec, request)
        if held is not None:
            request = structs.replace(request, most_tokens=min(held.answer, request.most_tokens or held.answer))
        call = self._call = Call(spec, request)
        try:
            async with aclosing(loop.turn(spec, request)) as events:
                async for event in events:
                    call.hear(event)
                    budgeted = held is not None and request.most_tokens == held.answer
                    yield held.explained(event) if held and budgeted and isinstance(event, Status) else event
        except ProviderError:
            call.failed = True
            raise
        finally:
            self._spent, self._call = self.spent, None
            if held is not None:
                await _finally(partial(holds.settle, held.hold, call.amount()))

    async def _hold(self, spec: ProviderSpec, request: ChatRequest) -> "Held | None":
        """What is held back for the call, None where it falls under no budget; raises BudgetExceeded."""
        claim = self._claim
        found = budgets.remembered(claim.workspace_id, user_id=claim.user_id, agent_id=claim.agent_id)
        if found is None:
            found = await bridge.in_thread(
                budgets.applying, claim.workspace_id, user_id=claim.user_id, agent_id=claim.agent_id
            )
        if not found:
            return None
        work = partial(reserve, claim.workspace_id, claim.run_id, found, spec, request)
        asking = asyncio.ensure_future(bridge.in_thread(work))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(_let_go)
            raise


@dataclass(frozen=True, slots=True)
class Held:
    """What is held back for a call, and how many tokens its answer may have for that."""

    hold: Hold
    answer: int

    def explained(self, told: Status) -> Status:
        """What is told, with the reason where the answer was cut for its length."""
        if told.code != LENGTH:
            return told
        return structs.replace(told, label=f"{told.label}; a budget lets an answer have {self.answer:,} tokens")


@dataclass
class Call:
    """One call of a model as it goes."""

    spec: ProviderSpec
    request: ChatRequest
    usage: Usage | None = None
    characters: int = 0
    failed: bool = False

    def hear(self, event: Spoken) -> None:
        """Take an event in."""
        match event:
            case TextDelta() | ReasoningDelta():
                self.characters += len(event.text)
            case ToolCall():
                self.characters += len(event.raw)
            case Usage():
                self.usage = added(self.usage, event)

    def estimated(self) -> Usage | None:
        """What the call came to where the provider did not tell; None where it did, or failed without a word.

        Who stops an answer pays for the question and what was said.
        """
        if self.usage is not None or (self.failed and not self.characters):
            return None
        answer = -(-self.characters // compaction.BYTES_PER_TOKEN)
        return _priced(self.spec, self.request.model, self._asked, answer)

    def spent(self) -> Spent | None:
        """What it came to so far, for the ledger."""
        used = self.usage or self.estimated()
        if used is None:
            return None
        spec = self.spec
        return ledger.spent_by(spec.name, self.request.model, spec.own_key, used, estimated=self.usage is None)

    def amount(self) -> Amount:
        """What it takes from budgets."""
        return _amount(self.spec, self.usage or self.estimated() or Usage(cost_usd=0.0))

    @cached_property
    def _asked(self) -> int:
        return asked(self.request)


def reserve(
    workspace_id: UUID, run_id: UUID, limits: Sequence[Limit], spec: ProviderSpec, request: ChatRequest
) -> Held:
    """Hold back what the call may come to: the request, and an answer as long as it may be."""
    given = asked(request)
    answer = longest(spec, request.model, given)
    most = _amount(spec, _priced(spec, request.model, given, answer))
    seconds = settings.RUN_WALL_SECONDS + GRACE_SECONDS
    hold = holds.reserve(limits, workspace_id=workspace_id, run_id=run_id, most=most, seconds=seconds)
    return Held(hold, answer)


def longest(spec: ProviderSpec, model: str, given: int) -> int:
    """Tokens that an answer may have, thoughts among them: what the settings allow and the model can say at all."""
    most = min(settings.BUDGET_ANSWER_TOKENS, profiles.profile(model).most_tokens or settings.BUDGET_ANSWER_TOKENS)
    window = abilities.context_window(spec, model)
    return min(most, max(LEAST_ANSWER, window - given)) if window else most


def asked(request: ChatRequest) -> int:
    """About how many tokens a request takes."""
    return compaction.tokens(request.messages, request.system, *map(repr, request.tools))


def _priced(spec: ProviderSpec, model: str, given: int, answer: int) -> Usage:
    cost = 0.0 if spec.offline else prices.cost(spec.base_url, model, given, answer)
    return Usage(given, answer, cost)


def _amount(spec: ProviderSpec, usage: Usage) -> Amount:
    """What a budget counts; what is asked with a person's own key costs the workspace no money."""
    cost = None if spec.own_key else believed_usd(usage.cost_usd)
    return Amount(believed(usage.input_tokens) + believed(usage.output_tokens), cost)


def _let_go(asking: "asyncio.Future[Held]") -> None:
    """Settle a hold that came when nobody waited for it any more."""
    if not asking.cancelled() and asking.exception() is None:
        settling = asyncio.ensure_future(bridge.in_thread(holds.settle, asking.result().hold, Amount(0)))
        _releasing.add(settling)
        settling.add_done_callback(_releasing.discard)


async def _finally(work: "partial[None]") -> None:
    """Do the work to its end, whoever cancels the task that waits for it."""
    doing = asyncio.ensure_future(bridge.in_thread(work))
    _releasing.add(doing)
    doing.add_done_callback(_releasing.discard)
    await asyncio.shield(doing)
