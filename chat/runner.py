"""Answering one run: the turn loop's events go into the log, what they add up to goes into the database.

This is the one place that knows loop, log and transcript together.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime

from django.db import Error as DbError

from agents import brain, loop
from agents.events import (
    Event,
    MessageCompleted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRestarted,
    RunStarted,
    Usage,
    usage_json,
)
from agents.providers.base import ChatRequest
from chat.models import RunState
from chat.services import runs
from chat.services.leases import Checkpoint, Claim, Outcome
from chat.writer import RunLog, Writer
from core import bridge
from core.errors import DomainError

log = logging.getLogger(__name__)


class Runner:
    """One attempt at one run."""

    def __init__(self, claim: Claim, writer: Writer) -> None:
        self.claim = claim
        self.log: RunLog = writer.open(claim.run_id, claim.conversation_id, claim.attempt, claim.seq)
        self.log.fenced = self.abandon
        self._writer = writer
        self._task: asyncio.Task[None] | None = None
        self._usage: Usage | None = None
        self._stopping = claim.cancelled
        self._abandoned = False
        self._begun = False

    def start(self, done: Callable[["Runner", Outcome | None], None]) -> None:
        """Begin; `done` is told the outcome, or None where the run is no longer this worker's."""
        self._task = asyncio.get_running_loop().create_task(self._run(done))

    def stop(self) -> None:
        """Somebody asked that the run stop: the provider's stream is closed and what was said is kept."""
        self._stopping = True
        self._interrupt()

    def abandon(self) -> None:
        """The run belongs to another worker now: stop without a word."""
        self._abandoned = True
        self._interrupt()

    def _interrupt(self) -> None:
        # A task cancelled before its first step never runs at all; `_answer` looks at the flags instead.
        if self._task is not None and self._begun:
            self._task.cancel()

    def checkpoint(self) -> Checkpoint:
        """The answer so far."""
        return Checkpoint(self.claim.run_id, self.claim.attempt, self.log.seq, self.log.draft())

    async def _run(self, done: Callable[["Runner", Outcome | None], None]) -> None:
        self._begun = True
        try:
            outcome = await self._answer()
        except asyncio.CancelledError:
            outcome = None if self._abandoned else self._outcome(RunState.CANCELLED)
        except DbError as error:
            # Nothing was said yet, and the provider could not be looked up: whoever takes the lapsed lease begins anew.
            log.warning("a run could not begin", extra={"run_id": str(self.claim.run_id), "error": str(error)})
            outcome = None
        except DomainError as error:
            outcome = self._outcome(RunState.FAILED, error.code, error.detail)
        except Exception:
            log.exception("a run broke", extra={"run_id": str(self.claim.run_id)})
            outcome = self._outcome(RunState.FAILED, "internal_error", "The answer broke off by a fault of ours.")
        done(self, outcome)

    async def _answer(self) -> Outcome | None:
        claim = self.claim
        if self._abandoned:
            return None
        if self._stopping:
            return self._outcome(RunState.CANCELLED)
        if claim.attempt == 1:
            self.log.append(RunStarted(str(claim.conversation_id), claim.companion, claim.provider, claim.model))
        else:
            self.log.append(RunRestarted(claim.attempt, "worker_lost", claim.provider, claim.model))
        spec = await bridge.in_thread(brain.spec, claim.workspace_id, claim.provider)
        request = ChatRequest(model=claim.model, messages=claim.messages, system=claim.system)
        async with aclosing(loop.turn(spec, request)) as events:
            async for event in events:
                if isinstance(event, Usage):
                    self._usage = event
                self.log.append(event)
        return self._outcome(RunState.COMPLETED)

    def _outcome(self, state: RunState, code: str = "", message: str = "") -> Outcome:
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
            provider=claim.provider,
            model=claim.model,
            usage=usage_json(self._usage),
            error_code=code,
            error_message=message,
        )

    def stored(self, outcome: Outcome, at: datetime | None) -> None:
        """The outcome is committed, with an answer of this time: tell it."""
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
        return [told, RunCompleted(str(outcome.message_id), outcome.text)]
    if outcome.state == RunState.CANCELLED:
        return [RunCancelled(message_id, outcome.text)]
    return [RunFailed(outcome.error_code, outcome.error_message, runs.retryable(outcome.error_code))]


def rfc3339(at: datetime) -> str:
    """A time as the API writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
