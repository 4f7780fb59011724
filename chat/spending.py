"""What one attempt at a run spends on models: held back from its budgets before each call, settled after it.

A run that falls under no budget asks the database nothing here.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.conf import settings

from accounts.services import budgets, holds
from accounts.services.budgets import Limit
from accounts.services.holds import Amount, Hold
from agents import loop
from agents.events import ReasoningDelta, TextDelta, Usage, added
from agents.providers import prices
from agents.providers.base import ChatRequest, ProviderError, ProviderSpec, Spoken, ToolCall
from chat import compaction
from chat.services.leases import Claim
from chat.services.ledger import Spender, believed, believed_usd
from core import bridge

GRACE_SECONDS = 60.0  # a hold outlives the longest run by so much

_releasing: set[asyncio.Future[None]] = set()  # a task that nobody holds may vanish before its end


class Meter:
    """Asks models for one attempt at a run, and counts what that takes."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._own_key = False
        self._estimated: Usage | None = None

    @property
    def spender(self) -> Spender | None:
        """On whose account it was, and what of it no provider told; None of a team, whose members have their own."""
        claim = self._claim
        if claim.team is not None:
            return None
        return Spender(claim.user_id, claim.agent_id, self._own_key, self._estimated)

    async def turn(self, spec: ProviderSpec, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """As `loop.turn`; raises BudgetExceeded too, before anything is asked."""
        self._own_key = spec.own_key
        hold = await self._hold(spec, request)
        call = Call(spec, request)
        try:
            async with aclosing(loop.turn(spec, request)) as events:
                async for event in events:
                    call.hear(event)
                    yield event
        except ProviderError:
            call.failed = True
            raise
        finally:
            if estimated := call.estimated():
                self._estimated = added(self._estimated, estimated)
            if hold is not None:
                await _finally(partial(holds.settle, hold, call.amount(estimated)))

    async def _hold(self, spec: ProviderSpec, request: ChatRequest) -> Hold | None:
        """What is held back for the call, None where it falls under no budget; raises BudgetExceeded."""
        claim = self._claim
        limits = partial(budgets.applying, claim.workspace_id, user_id=claim.user_id, agent_id=claim.agent_id)
        found = limits() if budgets.remembers(claim.workspace_id) else await bridge.in_thread(limits)
        if not found:
            return None
        work = partial(reserve, claim.workspace_id, claim.run_id, found, spec, request)
        asking = asyncio.ensure_future(bridge.in_thread(work))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(_let_go)
            raise


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
        return _priced(self.spec, self.request.model, asked(self.request), answer)

    def amount(self, estimated: Usage | None) -> Amount:
        """What the call takes from budgets."""
        used = self.usage or estimated or Usage(cost_usd=0.0)
        return _amount(self.spec, used)


def reserve(
    workspace_id: UUID, run_id: UUID, limits: Sequence[Limit], spec: ProviderSpec, request: ChatRequest
) -> Hold:
    """Hold back what the call may come to: the request, and as long an answer as the settings reckon with."""
    most = _priced(spec, request.model, asked(request), settings.BUDGET_ANSWER_TOKENS)
    seconds = settings.RUN_WALL_SECONDS + GRACE_SECONDS
    return holds.reserve(limits, workspace_id=workspace_id, run_id=run_id, most=_amount(spec, most), seconds=seconds)


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


def _let_go(asking: "asyncio.Future[Hold]") -> None:
    """Settle a hold that came when nobody waited for it any more."""
    if not asking.cancelled() and asking.exception() is None:
        settling = asyncio.ensure_future(bridge.in_thread(holds.settle, asking.result(), Amount(0)))
        _releasing.add(settling)
        settling.add_done_callback(_releasing.discard)


async def _finally(work: "partial[None]") -> None:
    """Do the work to its end, whoever cancels the task that waits for it."""
    doing = asyncio.ensure_future(bridge.in_thread(work))
    _releasing.add(doing)
    doing.add_done_callback(_releasing.discard)
    await asyncio.shield(doing)
