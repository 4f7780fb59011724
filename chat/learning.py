"""Drawing facts from conversations in the background, by their own models; by rules where that is the offline one.

What it takes is held back from the same budgets as answers, and stands in the ledger.
"""

import logging
from contextlib import aclosing
from functools import partial
from uuid import UUID

from agents import brain
from agents.brain import BrainUnavailable
from agents.events import TextDelta
from agents.providers.base import ChatMessage, ChatRequest, ProviderSpec, StreamMalformed
from chat.answering import may_know
from chat.models import MessageRole, Run
from chat.services import ledger
from chat.services.leases import Claim
from chat.spending import Meter
from core import bridge, ids
from core.errors import DomainError
from memory.extraction import Fact, Said, asking, rules
from memory.services import learning, readings
from memory.services.readings import Part

log = logging.getLogger(__name__)

MOST_ANSWER = 60_000  # characters of a model's answer that are read


async def learn_due() -> int:
    """Read the conversations that are due; gives how many."""
    parts = await bridge.in_slow_thread(readings.claim)
    for part in parts:
        try:
            await _learn(part)
        except DomainError as error:
            await bridge.in_slow_thread(readings.failed, part, f"{error.code}: {error.detail}")
    return len(parts)


async def _learn(part: Part) -> None:
    """Read one conversation's new messages, and store what they say of the person."""
    if not any(one.by_person for one in part.messages):
        await bridge.in_slow_thread(readings.done, part, part.seq)
        return
    claim, spec = await bridge.in_slow_thread(_by_whom, part)
    if spec is None or not may_know(spec):
        facts, model, read_to = await bridge.in_slow_thread(rules.find, part.messages), rules.MODEL, part.seq
    else:
        shown = asking.bounded(part.messages)
        read_to = part.seq if len(shown) == len(part.messages) else shown[-1].seq
        facts, model = await _asked(part, shown, claim, spec), claim.model
    stored = await bridge.in_slow_thread(learning.learn, part.owner, facts, model=model)
    await bridge.in_slow_thread(readings.done, part, read_to)
    if stored:
        log.info("facts were drawn from a conversation", extra={"facts": len(stored), "by": model})


async def _asked(part: Part, shown: list[Said], claim: Claim, spec: ProviderSpec) -> list[Fact]:
    """What the conversation's model draws from messages; raises ProviderError, BudgetExceeded."""
    known = await bridge.in_slow_thread(learning.known, part.owner)
    question = ChatMessage(MessageRole.USER.value, asking.question(shown, known))
    meter, said = Meter(claim), list[str]()
    try:
        async with aclosing(meter.turn(spec, ChatRequest(claim.model, (question,), asking.INSTRUCTIONS))) as events:
            async for event in events:
                if isinstance(event, TextDelta) and sum(map(len, said)) < MOST_ANSWER:
                    said.append(event.text)
    finally:
        await bridge.in_thread(partial(ledger.record, [(meter.account, None)]))
    try:
        return await bridge.in_slow_thread(asking.answer, "".join(said), shown, known)
    except ValueError as error:
        raise StreamMalformed(f"{spec.name} gave no facts: {error}", retryable=False) from None


def _by_whom(part: Part) -> tuple[Claim, ProviderSpec | None]:
    """Who answers in the conversation, as a run would ask; no provider where none but the offline one would."""
    runs = Run.objects.filter(conversation=part.conversation_id).order_by("-id")
    last = runs.values_list("provider", "model", "agent_id").first()
    provider, model, agent_id = last or ("", "", UUID(int=0))
    claim = Claim(
        run_id=ids.new(),  # an account of its own in the ledger
        conversation_id=part.conversation_id,
        workspace_id=part.owner.workspace_id,
        user_id=part.owner.user_id,
        attempt=1,
        seq=0,
        companion="",
        provider=provider,
        model=model,
        system="",
        messages=(),
        cancelled=False,
        agent_id=agent_id,
    )
    try:
        spec = brain.spec(claim.workspace_id, provider, claim.user_id)
    except BrainUnavailable:
        return claim, None
    return claim, None if spec.offline else spec
