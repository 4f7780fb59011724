"""A worker's hands: it takes actions that are ready, calls their tools, and stores what came of it.

Belongs to the engine's event loop. The claim is committed before the tool is called; the outcome is stored as long as
it takes, because the effect has happened by then.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError

from agents.tools import registry
from agents.tools.registry import HandedOn, MaybeSent, NotSent, ToolFailed, ToolResult
from chat import bells, committing
from chat.services import execution, gate, traces
from chat.services.execution import Execution, Outcome
from core import bridge, faults, measures, queue, tracing
from core.errors import DomainError

log = logging.getLogger(__name__)

BATCH = 16
RETRY_SECONDS = 0.2
SLEPT = "This attempt sent nothing: its worker slept past its lease before it came to that."


class Executor:
    """The actions of this process. `settled` is told of each run that may go on."""

    def __init__(self, name: str, settled: Callable[[UUID], None]) -> None:
        self.name = name
        self.held: dict[UUID, tuple[Execution, asyncio.Task[None]]] = {}
        self.draining = False
        self._settled = settled
        self._bell = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._ended: dict[UUID, tuple[Execution, Outcome]] = {}  # what is to be stored
        # Outcomes and leases lock many actions each, in no order: one at a time, or they deadlock.
        self._storing = asyncio.Lock()

    def ring(self) -> None:
        """There may be actions to take."""
        self._bell.set()

    async def claim(self) -> None:
        """On the bell: take what is ready, up to this process's capacity."""
        await self._bell.wait()
        self._bell.clear()
        limit = min(BATCH, settings.ACTION_CAPACITY - len(self.held))
        if limit <= 0 or self.draining:
            return
        faults.reach("action.before_claim")
        async with self._claiming:
            until = time.monotonic() + settings.ACTION_LEASE_SECONDS
            taken, refused = await bridge.in_thread(answer_bell, self.name, limit, list(self.held))
            for one in taken:
                task = asyncio.get_running_loop().create_task(self._execute(one, until))
                self.held[one.action_id] = one, task
        for run_id in refused:
            self._settled(run_id)
        if len(taken) + len(refused) >= limit:
            self._bell.set()

    async def keep(self) -> None:
        """Renew the leases of what is at hand."""
        await asyncio.sleep(settings.ACTION_LEASE_SECONDS / 4)
        async with self._storing:
            held = [one for one, _ in self.held.values()]
            if held:
                await bridge.in_thread(execution.renew, held)

    async def sweep(self) -> None:
        """What dead workers left, and what no bell told of."""
        for run_id in await bridge.in_thread(execution.lapse):
            self._settled(run_id)
        self._bell.set()

    async def drain(self, seconds: float) -> None:
        """Take nothing more, and give what runs time to end; what does not end lapses with its lease."""
        self.draining = True
        async with self._claiming:
            pass
        tasks = [task for _, task in self.held.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _execute(self, one: Execution, until: float) -> None:
        try:
            faults.reach("action.claimed")
            with await _span(one) as span:
                outcome = await call(one, until)
                span.note({"countersign.outcome": _counted(outcome)})
            faults.reach("action.sent")
            if outcome is not None:
                await self._settle(one, outcome)
        finally:
            del self.held[one.action_id]  # what could not be stored lapses with its lease
        if len(self.held) == settings.ACTION_CAPACITY - 1:
            self._bell.set()
        if one.run_id is not None:
            self._settled(one.run_id)

    async def _settle(self, one: Execution, outcome: Outcome) -> None:
        """Store the outcome, together with those that come while others are being stored."""
        self._ended[one.action_id] = one, outcome
        try:
            while one.action_id in self._ended:
                await self._try_to_store()
        finally:
            self._ended.pop(one.action_id, None)

    async def _try_to_store(self) -> None:
        try:
            async with self._storing:
                await self._store()
        except (OperationalError, InterfaceError, OSError) as error:
            log.warning("an outcome cannot be stored; trying again", extra={"error": str(error)})
            await asyncio.sleep(RETRY_SECONDS)

    async def _store(self) -> None:
        """Store all that waits for it, if another has not done so meanwhile."""
        ready = list(self._ended.values())
        if not ready:
            return
        for action_id in await bridge.in_thread(store, ready):
            self._ended.pop(action_id, None)


async def call(one: Execution, until: float) -> Outcome | None:
    """Call the tool, unless it is later than `until` by then; whatever it does, what came of it is told.

    None where the call was handed on to whoever settles it.
    """
    spec = await bridge.in_thread(registry.get, one.tool, one.context.workspace_id)  # it may read the database
    if spec is None:
        return Outcome(False, "There is no such tool.", "no such tool", "unknown_tool", "no")
    if spec.version != one.tool_version:  # it was defined anew since the last gate, which looks at it again
        return Outcome(False, gate.REFUSALS["tool_changed"], "not sent: the tool was changed", "tool_changed", "no")
    faults.reach("action.before_send")
    if time.monotonic() >= until:
        # This process slept past its lease: somebody may have said meanwhile that nothing was done, and it may have
        # been run again.
        return Outcome(False, SLEPT, "not sent: its worker slept past its lease", "overslept", "no")
    try:
        result = await registry.execute(spec, one.arguments, one.context)
    except ToolFailed as error:
        return _failure(error, "failed", "tool_failed", "yes")
    except NotSent as error:
        return _failure(error, "not sent", "not_sent", "no")
    except MaybeSent as error:
        return _failure(error, "unknown", "maybe_sent", "perhaps")
    except DomainError as error:
        return _failure(error, "failed", error.code, "yes")
    except Exception:
        log.exception("a tool broke", extra={"tool": one.tool, "action_id": str(one.action_id)})
        return Outcome(False, "The tool broke off by a fault of its own.", "the tool broke", "tool_broke", "perhaps")
    return None if isinstance(result, HandedOn) else Outcome(True, result.content, result.summary)


async def _span(one: Execution) -> tracing.Span:
    """The span of a call; its run's trace is asked for in a thread, and not at all where nobody wants to know."""
    if not tracing.on():
        return tracing.NOTHING
    said: dict[str, tracing.Value] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": one.tool,
        "gen_ai.tool.call.id": str(one.action_id),
        "countersign.action.attempt": one.attempt,
    }
    return await bridge.in_thread(traces.acting, one.run_id, one.tool, said)


def _counted(outcome: Outcome | None) -> str:
    """Count a call by what came of it, and say what that is."""
    if outcome is None:
        what = "handed_on"
    elif outcome.ok:
        what = "succeeded"
    else:
        what = {"no": "not_sent", "perhaps": "unknown"}.get(outcome.sent, "failed")
    measures.ACTIONS_ENDED.add(what)
    return what


def _failure(error: DomainError, what: str, code: str, sent: str) -> Outcome:
    """What a tool says of its failure, as it can be stored."""
    told = registry.bounded(ToolResult(error.detail, f"{what}: {error.detail}"))
    return Outcome(False, told.content, told.summary, code, sent)


def store(ended: Sequence[tuple[Execution, Outcome]]) -> list[UUID]:
    """Store outcomes together; one that cannot be stored spoils no other, and its lease lapses.

    Gives the actions that are done with. Raises a kind of DbError or OSError where nothing can be stored now.
    """
    try:
        execution.settle_all(ended)
    except Exception as error:
        if not committing.at_fault(error):
            raise
        if len(ended) > 1:
            return [action_id for one in ended for action_id in store([one])]
        log.exception("an outcome could not be stored", extra={"action_id": str(ended[0][0].action_id)})
    return [one.action_id for one, _ in ended]


def answer_bell(worker: str, limit: int, held: list[UUID]) -> tuple[list[Execution], set[UUID]]:
    """Claim what is ready; the bell is answered before, so that what is committed meanwhile rings anew."""
    queue.answered(bells.ACTIONS)
    return execution.claim(worker, limit=limit, held=held)
