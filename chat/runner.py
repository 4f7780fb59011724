"""Answering one run: the turn loop's events go into the log, what they add up to goes into the database.

This is the one place that knows loop, log and transcript together; it hears the loop through `answering`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from django.db import Error as DbError

from agents.events import (
    LENGTH,
    ApprovalRequested,
    Event,
    MessageCompleted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRestarted,
    RunStarted,
    RunWaiting,
    Snapshot,
    Status,
    ToolFinished,
    ToolProposed,
    ToolStarted,
    Usage,
    added,
    usage_json,
)
from agents.providers.base import Kept, ToolCall, ToolDefinition
from agents.tools import registry
from chat import committing, limits, transcript
from chat.answering import Answerer
from chat.measured import Stretch
from chat.models import SETTLED, ActionState, RunState
from chat.services import actions, families, proposing, standings
from chat.services.actions import Asked, Called
from chat.services.finishing import Outcome
from chat.services.leases import Checkpoint, Claim
from chat.services.ledger import Account
from chat.services.proposing import Step
from chat.teamwork import Teamwork
from chat.tools import ask_agent
from chat.writer import RunLog, Writer
from core import bridge
from core.errors import DomainError

log = logging.getLogger(__name__)

T = TypeVar("T")
ASK_AGENT = ask_agent.__name__
LOOK_AGAIN_SECONDS = 1.0  # a run that waits for its actions looks by itself, should nobody tell it


class Runner:
    """One attempt at one run."""

    def __init__(self, claim: Claim, writer: Writer, on_ready: Callable[[], None]) -> None:
        self.claim = claim
        self.log: RunLog = writer.open(claim.run_id, claim.conversation_id, claim.attempt, claim.seq)
        self._stretch = Stretch(claim)
        self.log.began, self.log.fenced, self.log.spoilt = self._stretch.first_word, self.abandon, self.fail
        self._writer = writer
        self._answerer = Answerer(claim)
        self._task: asyncio.Task[None] | None = None
        self._usage = Usage(**claim.usage) if claim.usage else None
        self._steps = claim.steps
        self._theirs = set[str]()  # the tools whose calls the client makes
        self._heard = asyncio.Event()
        self._deadline = asyncio.get_running_loop().time() + settings.RUN_WALL_SECONDS
        self.on_ready = on_ready
        self._stopping = claim.cancelled
        self._abandoned = False
        self._spoilt = False
        self._cut = False
        self._interruptible = False
        self.listens = claim.team is not None  # to others that work for it: it takes no place from them

    def start(self, done: Callable[["Runner", Outcome | None], None]) -> None:
        """Begin; `done` is told the outcome, or None where the run is no longer this worker's."""
        self._task = asyncio.get_running_loop().create_task(self._stretch.over(self._run, done))

    def heard(self) -> None:
        """An action of the run came to its end."""
        self._heard.set()

    def stop(self) -> None:
        """Somebody asked that the run stop: the provider's stream is closed and what was said is kept."""
        self._stopping = True
        self._interrupt()

    def abandon(self) -> None:
        """The run belongs to another worker now: stop without a word."""
        self._abandoned = True
        self._interrupt()

    def fail(self) -> None:
        """Something that it said can be neither told nor stored: it ends as failed."""
        self._spoilt = True
        self._interrupt()

    @property
    def account(self) -> Account:
        """On whose account the run is, and what it used so far."""
        return self._answerer.meter.account

    def _interrupt(self) -> None:
        # A task cancelled before its first step never runs at all: there `_answer` looks at the flags instead.
        if self._task is not None and self._interruptible:
            self._task.cancel()

    def checkpoint(self) -> Checkpoint:
        """The answer so far."""
        claim, spent = self.claim, self._answerer.meter.spent
        return Checkpoint(claim.run_id, claim.attempt, self.log.seq, self.log.draft(), spent)

    async def _run(self, done: Callable[["Runner", Outcome | None], None]) -> None:
        self._interruptible = True
        try:
            outcome = await self._answer()
        except (asyncio.CancelledError, actions.Stopping):  # the second where it would have begun to wait
            outcome = None if self._abandoned else self._stopped()
        except DomainError as error:
            outcome = self._outcome(RunState.FAILED, error.code, error.detail, error.extra.get("budget"))
        except Exception as error:
            told: dict[str, object] = {"run_id": str(self.claim.run_id)}
            if isinstance(error, DbError) and not committing.at_fault(error):
                # Whoever takes the lapsed lease goes on from the last step that was stored, or begins anew.
                log.warning(
                    "a run was let go because the database does not answer", extra={**told, "error": str(error)}
                )
                outcome = None
            else:
                log.exception("a run broke", extra=told)
                outcome = self._outcome(RunState.FAILED, "internal_error", "The answer broke off by a fault of ours.")
        done(self, outcome)

    async def _answer(self) -> Outcome | None:
        claim = self.claim
        if self._abandoned:
            return None
        if self._stopping:
            return self._outcome(RunState.CANCELLED)
        self._open()
        if claim.team is not None:
            return await self._answer_as_team()
        tools: tuple[ToolDefinition, ...] = ()
        if claim.tools:
            wanted = partial(registry.offered, claim.workspace_id, claim.tools, off=claim.tools_off)
            tools = await bridge.in_slow_thread(wanted)
        ours = {one.name for one in tools}
        theirs = tuple(one for one in claim.client_tools if one.name not in ours)
        self._theirs, tools = {one.name for one in theirs}, (*tools, *theirs)
        open_calls = transcript.open_calls(claim.parts)
        if open_calls and not await self._take_results(open_calls):
            return None
        while True:
            limits.check(self._steps, await self._taken(), self._deadline)
            calls = await self._turn(tools)
            if not calls:
                return self._outcome(RunState.COMPLETED)
            if not await self._act(calls):
                return None

    async def _answer_as_team(self) -> Outcome | None:
        """Let a team's members answer; None where they wait for people now, or another worker has the run."""
        team = Teamwork(self.claim, self.log, self._undisturbed, self._deadline)
        try:
            whole = await team.work()
        finally:
            self._usage = team.usage
        return self._outcome(RunState.COMPLETED) if whole else None

    async def _taken(self) -> Usage | None:
        """What this run took, with all the others of which it is one."""
        claim = self.claim
        if claim.root_id is None and ASK_AGENT not in claim.tools:
            return self._answerer.meter.taken
        others = await bridge.in_thread(families.taken, claim.root_id or claim.run_id, but=claim.run_id)
        mine = self._answerer.meter.taken
        return added(mine, others) if others else mine

    def _open(self) -> None:
        """Say that the run begins, begins anew, or goes on where it waited."""
        claim = self.claim
        self.log.resume(claim.parts)
        if claim.resumed:
            return
        if claim.attempt == 1:
            self.log.append(RunStarted(str(claim.conversation_id), claim.companion, claim.provider, claim.model))
            return
        self.log.append(RunRestarted(claim.attempt, "worker_lost", claim.provider, claim.model))
        if claim.parts:
            said, thought = transcript.text(claim.parts), transcript.text(claim.parts, "reasoning")
            self.log.append(Snapshot(claim.attempt, said, thought))

    async def _turn(self, tools: tuple[ToolDefinition, ...]) -> list[ToolCall]:
        """Let the model speak once; gives the calls it asks for, with ids of ours, the same in every attempt."""
        self._cut = False
        calls: list[ToolCall] = []
        kept: Kept | None = None
        async with aclosing(self._answerer.turn(self.log.draft(), tools)) as events:
            async for event in events:
                match event:
                    case Kept():
                        kept = event
                    case ToolCall():
                        calls.append(self._number(event, len(calls) + 1, None if calls else kept))
                    case Usage():
                        self._usage = added(self._usage, event)
                        self.log.append(self._usage)
                    case Status(code=code):
                        self._cut = self._cut or code == LENGTH
                        self.log.append(event)
                    case _:
                        self.log.append(event)
        return calls

    def _number(self, call: ToolCall, place: int, kept: Kept | None) -> ToolCall:
        call_id = f"call_{self.claim.run_id.hex[-8:]}_{self._steps + 1}_{place}"
        arguments = call.arguments or {}
        part = {"type": "tool_call", "call_id": call_id, "name": call.name, "arguments": arguments}
        if kept:
            part["kept"] = msgspec.structs.asdict(kept)
        if call.name in self._theirs:
            self.log.note(part)  # told when it is stored: an answer that came before would find no call
        else:
            self.log.tell(ToolProposed(call_id, call.name, arguments), part)
        return ToolCall(call_id, call.name, call.arguments, call.raw)

    async def _act(self, calls: list[ToolCall]) -> bool:
        """Put the calls through the gate; False where the run waits for people now, or is nobody's to answer here."""
        self.log.settle()
        late = [call for call in calls if call.name in self._theirs]
        step = Step(
            run_id=self.claim.run_id,
            attempt=self.claim.attempt,
            number=self._steps + 1,
            seq=self.log.seq,
            parts=self.log.draft(),
            usage=usage_json(self._usage),
            calls=calls,
            late=len(late),
            spent=self._answerer.meter.spent,
        )
        waiting = await self._undisturbed(bridge.in_slow_thread(proposing.propose, step))
        if waiting is None:
            return False
        self._steps += 1
        awaited = [one for one in waiting if isinstance(one, Called)]
        if not waiting:
            self.log.go_on()
        for call in late:
            client = any(one.call_id == call.call_id for one in awaited)
            self.log.append(ToolProposed(call.call_id, call.name, call.arguments or {}, client=client))
        if waiting:
            self.on_ready()
            self._tell_waiting([one.event for one in waiting if isinstance(one, Asked)], awaited)
            return False
        self.on_ready()
        return await self._take_results([call.call_id for call in calls])

    async def _take_results(self, calls: list[str]) -> bool:
        """Wait until each call has its result, and tell them in the model's order; False where a person must say."""
        started: set[str] = set()
        while True:
            limits.check_wall(self._deadline)
            self._heard.clear()
            found = await bridge.in_thread(actions.states, self.claim.run_id, calls)
            for call_id, tool, state in found:
                if state == ActionState.EXECUTING and call_id not in started:
                    started.add(call_id)
                    self.log.append(ToolStarted(call_id, tool))
            states = {state for _, _, state in found}.difference(SETTLED)
            if len(found) == len(calls) and not states:
                break
            self.listens = ActionState.DELEGATED in states
            if self.listens and states <= {ActionState.DELEGATED, ActionState.UNKNOWN}:
                if await self._wait_with_others():
                    return False
            elif states == {ActionState.UNKNOWN}:
                return await self._wait_for_people()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), LOOK_AGAIN_SECONDS)
        parts = await bridge.in_thread(actions.parts_of_step, self.claim.run_id, calls)
        for part in parts:
            self.log.tell(ToolFinished(part["call_id"], part["name"], part["ok"], part["summary"]), part)
        self.log.settle()  # the model is told what stands in the draft
        self.log.go_on()
        return True

    async def _wait_for_people(self) -> bool:
        """Let go of the run until somebody says what became of an action; False, always."""
        self.log.append(Status(label="it is not known what became of a call; a person looks into it"))
        self.log.settle()
        held = proposing.hold_for_people
        seq, parts = self.log.seq, self.log.draft()
        if await self._undisturbed(bridge.in_thread(held, self.claim.run_id, self.claim.attempt, seq, parts)):
            self._tell_waiting([])
        return False

    async def _wait_with_others(self) -> bool:
        """Let go of the run where all agents that it asked wait for people; True where it did."""
        run_id, attempt = self.claim.run_id, self.claim.attempt
        if not await bridge.in_thread(families.all_wait, run_id):
            return False
        self.log.settle()
        seq, parts = self.log.seq, self.log.draft()
        held = await self._undisturbed(
            bridge.in_thread(families.hold, run_id, attempt, seq=seq, parts=parts, tell=True)
        )
        if held is None:
            self.log.go_on()
            return False
        self._tell_waiting([one.event for one in held])
        return True

    def _tell_waiting(self, events: Sequence[ApprovalRequested], awaited: Sequence[Called] = ()) -> None:
        for event in events:
            self.log.append(event)
        text, who = transcript.text(self.log.draft()), self._answerer
        approvals, calls = [event.approval_id for event in events], [one.told for one in awaited]
        self.log.append(RunWaiting(approvals, text, who.provider, who.model, calls))

    async def _undisturbed(self, work: Awaitable[T]) -> T:
        """The work's result: what is stored by it is told, whoever wants the run stopped meanwhile."""
        self._interruptible = False
        try:
            return await work
        finally:
            self._interruptible = True
            if self._stopping or self._spoilt:
                self._interrupt()

    def _stopped(self) -> Outcome:
        """How it ends where it was interrupted."""
        if self._spoilt:
            return self._outcome(RunState.FAILED, "internal_error", committing.UNSTORABLE)
        return self._outcome(RunState.CANCELLED)

    def _outcome(self, state: RunState, code: str = "", message: str = "", budget: Any = None) -> Outcome:
        """What is to be stored; from here on nothing more is said but the ending."""
        self.log.settle()
        claim = self.claim
        parts = self.log.draft()
        return Outcome(
            run_id=claim.run_id,
            conversation_id=claim.conversation_id,
            workspace_id=claim.workspace_id,
            attempt=claim.attempt,
            seq=self.log.seq + (2 if state == RunState.COMPLETED else 1),
            state=state,
            parts=parts or ([{"type": "text", "text": ""}] if state == RunState.COMPLETED else []),
            provider=self._answerer.provider,
            model=self._answerer.model,
            usage=usage_json(self._usage),
            account=self.account,
            cut=self._cut,
            error_code=code,
            error_message=message,
            budget=budget,
        )

    def stored(self, outcome: Outcome, at: datetime | None) -> None:
        """The outcome is committed, with an answer of this time: tell it."""
        self._stretch.ended(outcome)
        self._writer.close(self.log)
        for event in ending(outcome, at):
            self.log.append(event)

    def dropped(self) -> None:
        """The outcome was not ours to store: say nothing."""
        self._writer.close(self.log)


def ending(outcome: Outcome, at: datetime | None) -> list[Event]:
    """The events that end a run, told after its outcome is stored; the last has the outcome's number."""
    message_id = str(outcome.message_id) if outcome.parts else None
    if outcome.state == RunState.COMPLETED and at is not None:
        told = MessageCompleted(str(outcome.message_id), rfc3339(at))
        return [told, RunCompleted(str(outcome.message_id), outcome.text, outcome.provider, outcome.model)]
    if outcome.state == RunState.CANCELLED:
        return [RunCancelled(message_id, outcome.text, provider=outcome.provider, model=outcome.model)]
    code = outcome.error_code
    return [RunFailed(code, outcome.error_message, standings.retryable(code), outcome.budget)]


def rfc3339(at: datetime) -> str:
    """A time as the API writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
