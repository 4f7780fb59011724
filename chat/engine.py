"""A worker process: one event loop that answers many runs at once, with the claim, heartbeat and commit of all.

It also has actions executed, the outbox delivered, the audit log chained and memory kept up; `_serve` lists all of it.

What touches the database does so for all runs together: one claim takes all that is ready, one statement renews all
leases and stores all drafts, and outcomes that come while a commit is under way share the next one.

A worker that is started with some of the queues (`settings.QUEUES`) does their work alone.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import uvloop
from django.conf import settings
from django.db import Error as DbError
from redis.exceptions import RedisError

from approvals import delivery
from approvals.services import approvals, policies, sealing
from chat import bells, committing, eventlog
from chat.eventlog import CONTROL, SETTLED
from chat.executor import Executor
from chat.runner import Runner, ending
from chat.services import client_tools, finishing, leases, ledger, runs
from chat.services.finishing import Outcome
from chat.upkeep import Upkeep
from chat.writer import Writer
from core import bridge, measures, outbound, queue, valkey

log = logging.getLogger(__name__)

BUSY = 8  # runs from which on a worker waits for more bells to come together
PACE = 0.008  # seconds that it waits
ENDED_LATELY = timedelta(seconds=10)  # so long after a rule ended by itself, what waits is judged anew
BATCH = 64  # runs taken by one claim; between two claims another worker may take some


class Engine:
    """The work of this process. What rings it may be called from any thread; all else happens in its loop."""

    def __init__(self, queues: Iterable[str] | None = None) -> None:
        self.queues = frozenset(settings.QUEUES if queues is None else queues)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.runners: dict[UUID, Runner] = {}
        self._draining = False
        self._passing: set[asyncio.Task[bool]] = set()  # a task that nobody holds may vanish before its end
        self._loop = uvloop.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    def start(self) -> None:
        """Start the loop in its thread and wait until it listens."""
        self._thread.start()
        self._started.wait()

    def ring(self) -> None:
        """Somebody rang: there may be runs to take."""
        self._loop.call_soon_threadsafe(self._bell.set)

    def ring_actions(self) -> None:
        """Somebody rang: there may be actions to take."""
        self._loop.call_soon_threadsafe(self.executor.ring)

    def ring_outbox(self) -> None:
        """Somebody rang: there may be something to deliver."""
        self._loop.call_soon_threadsafe(self._post.set)

    def drain(self, seconds: float) -> None:
        """Take no more runs, give those at hand time to end, give back the rest, and stop the loop."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._drain(seconds), self._loop).result(seconds + 10)
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._bell, self._stop, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._post = asyncio.Event()
        self._outcomes: asyncio.Queue[tuple[Runner, Outcome]] = asyncio.Queue()
        # Checkpoints and outcomes lock many runs each, in no order: one at a time, or they deadlock.
        self._storing = asyncio.Lock()
        self._claiming = asyncio.Lock()
        self._writer = Writer()
        self.executor = Executor(self.name, self._settled)
        upkeep = Upkeep(self.name, lambda: bool(self.runners))
        work: dict[str, dict[str, Callable[[], Awaitable[None]]]] = {
            "runs": {
                "claim": self._claim,
                "checkpoint": self._checkpoint,
                "commit": self._commit,
                "control": self._listen,
            },
            "actions": {"take actions": self.executor.claim, "keep actions": self.executor.keep},
            "outbox": {"deliver": self._deliver},
            "upkeep": {"seal": self._seal, "make vectors": upkeep.embed, "learn": upkeep.learn},
        }
        mine = {"tell that it lives": self._beat, "sweep": self._sweep} | {
            name: one for kind in self.queues for name, one in work[kind].items()
        }
        tasks = [asyncio.create_task(self._for_ever(name, one)) for name, one in mine.items()]
        self._started.set()
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await eventlog.feed.stop()
        await self._writer.stop()
        await outbound.close()

    async def _for_ever(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work again and again; after a failure it is tried again in a moment."""
        failures = 0
        while True:
            failures = 0 if await self._try(name, work) else failures + 1
            if failures:
                await asyncio.sleep(min(0.1 * 2**failures, 2.0))

    async def _try(self, name: str, work: Callable[[], Awaitable[object]]) -> bool:
        """Do the work; False where it failed, which is logged and stops nothing else."""
        try:
            await work()
        except (DbError, RedisError, OSError) as error:
            log.warning("worker cannot %s; trying again", name, extra={"error": str(error)})
        except Exception:
            log.exception("worker cannot %s; trying again", name)
        else:
            return True
        return False

    async def _claim(self) -> None:
        """On the bell: take what is ready, up to this process's capacity.

        A busy worker takes its time: until it has answered the bell nobody rings again, so that in a burst a bell
        and a claim are shared by all the runs that became ready meanwhile.
        """
        await self._bell.wait()
        self._bell.clear()
        if len(self.runners) >= BUSY:
            await asyncio.sleep(PACE)
        limit = min(BATCH, settings.RUN_CAPACITY - self._working())
        async with self._claiming:
            if limit > 0 and not self._draining:
                claims = await bridge.in_thread(answer_bell, self.name, limit, self._sated())
                self._take(claims)
                if len(claims) == limit:
                    self._bell.set()

    def _working(self) -> int:
        """How many runs take a place; those that only listen to others leave it to them."""
        return sum(not runner.listens for runner in self.runners.values())

    def _sated(self) -> list[UUID]:
        """The people who have half of this worker's places: what is left is for the others."""
        share = settings.RUN_CAPACITY // 2
        if len(self.runners) < share:
            return []
        counts = Counter(runner.claim.user_id for runner in self.runners.values() if not runner.listens)
        return [user_id for user_id, count in counts.items() if user_id and count >= share]

    def _take(self, claims: list[leases.Claim]) -> None:
        for claim in claims:
            runner = Runner(claim, self._writer, self.executor.ring)
            self.runners[claim.run_id] = runner
            runner.start(self._done)

    def _done(self, runner: Runner, outcome: Outcome | None) -> None:
        if outcome is None:
            runner.dropped()
            self._forget(runner)
            if runner.account.spent:
                self._in_passing("write what was used", ledger.record_deleted, [runner.account])
        else:
            self._outcomes.put_nowait((runner, outcome))

    def _forget(self, runner: Runner) -> None:
        if self.runners.get(runner.claim.run_id) is runner:
            del self.runners[runner.claim.run_id]
        if self._draining and not self.runners:
            self._idle.set()
        if len(self.runners) == settings.RUN_CAPACITY - 1:
            self._bell.set()

    async def _commit(self) -> None:
        """Store outcomes, all that have come in one transaction, and tell each once it is stored."""
        ready = [await self._outcomes.get()]
        while not self._outcomes.empty():
            ready.append(self._outcomes.get_nowait())
        try:
            async with self._storing:
                stored = await bridge.in_thread(committing.store, [outcome for _, outcome in ready])
        except Exception:
            for item in ready:
                self._outcomes.put_nowait(item)
            raise
        for runner, outcome in ready:
            self._conclude(runner, stored.get(outcome.run_id))

    def _conclude(self, runner: Runner, stored: committing.Stored | None) -> None:
        """Tell how a run ended, as it was stored; where another ended it, nothing."""
        try:
            if stored is None:
                runner.dropped()
            else:
                runner.stored(*stored)
        except Exception:
            log.exception("the end of a run could not be told", extra={"run_id": str(runner.claim.run_id)})
        finally:
            self._forget(runner)

    async def _checkpoint(self) -> None:
        """Renew the leases and store the drafts of all runs; stop those that somebody wants stopped."""
        await asyncio.sleep(settings.RUN_CHECKPOINT_SECONDS)
        async with self._storing:
            points = [runner.checkpoint() for runner in self.runners.values()]
            if not points:
                return
            held, spoilt = await bridge.in_thread(committing.keep, points)
        for point in points:
            runner = self.runners.get(point.run_id)
            if runner is None or runner.claim.attempt != point.attempt:
                continue
            if point.run_id in spoilt:
                runner.fail()
            elif point.run_id not in held:
                runner.abandon()
            elif held[point.run_id]:
                runner.stop()

    async def _beat(self) -> None:
        """Say that the loop goes round; whether the database answers is another question, so it waits for nothing."""
        _touch(settings.HEARTBEAT_FILE)
        await asyncio.sleep(settings.RUN_SWEEP_SECONDS)

    async def _sweep(self) -> None:
        """Every few seconds: what no bell told of, what a dead worker left, and what died too often."""
        await asyncio.sleep(settings.RUN_SWEEP_SECONDS * random.uniform(0.75, 1.25))
        self._bell.set()
        parts: dict[str, dict[str, Callable[[], Awaitable[object]]]] = {
            "runs": {
                "take what lapsed": self._take_lapsed,
                "bury": self._bury,
                "stop what nobody asks for": partial(bridge.in_thread, runs.stop_below),
            },
            "actions": {"sweep actions": self.executor.sweep},
            "upkeep": {
                "escalate": partial(bridge.in_thread, approvals.escalate_due),
                "expire": partial(bridge.in_thread, approvals.expire_due),
                "give clients up": partial(bridge.in_thread, client_tools.expire_due),
                "judge anew": partial(bridge.in_thread, policies.rejudge_ended, within=ENDED_LATELY),
            },
        }
        for name, part in [item for kind, some in parts.items() if kind in self.queues for item in some.items()]:
            if not self._draining:
                await self._try(name, part)
        self._post.set()

    async def _take_lapsed(self) -> None:
        """Take what a dead worker left, as far as there is room."""
        room = settings.RUN_CAPACITY - self._working()
        async with self._claiming:
            if self._draining or room <= 0:
                return
            held, sated, limit = list(self.runners), self._sated(), min(BATCH, room)
            self._take(
                await bridge.in_thread(leases.claim, self.name, limit=limit, held=held, sated=sated, lapsed=True)
            )

    def _settled(self, run_id: UUID) -> None:
        """An action came to its end: its run, here or elsewhere, may go on."""
        runner = self.runners.get(run_id)
        if runner is not None:
            runner.heard()
        else:
            self._in_passing("tell of an action", eventlog.tell_settled, run_id)

    def _in_passing(self, name: str, work: Callable[..., None], *args: object) -> None:
        """Have a thread do the work, which nobody waits for."""
        doing = self._loop.create_task(self._try(name, partial(bridge.in_thread, work, *args)))
        self._passing.add(doing)
        doing.add_done_callback(self._passing.discard)

    async def _seal(self) -> None:
        """Chain what was written to the audit log."""
        await asyncio.sleep(settings.AUDIT_SEAL_SECONDS * random.uniform(0.75, 1.25))
        while await bridge.in_thread(sealing.seal) >= sealing.BATCH:
            pass

    async def _deliver(self) -> None:
        """Tell outside what is to be told."""
        await self._post.wait()
        self._post.clear()
        await delivery.deliver_due()

    async def _bury(self) -> None:
        dead = await bridge.in_thread(finishing.buried)
        if not dead:
            return
        async with self._storing:
            stored = await bridge.in_thread(committing.store, dead, lapsed=True)
        for outcome, _ in stored.values():
            measures.RUNS_ENDED.add(outcome.state.value)
            grave = self._writer.open(outcome.run_id, outcome.conversation_id, outcome.attempt, outcome.seq - 1)
            self._writer.close(grave)
            for event in ending(outcome, None):
                grave.append(event)

    async def _listen(self) -> None:
        """Hear at once that a run is to stop."""
        client = valkey.async_client(retries=0)
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(CONTROL, SETTLED)
                while True:
                    message = await pubsub.get_message(timeout=30)
                    runner = self.runners.get(UUID(message["data"].decode())) if message is not None else None
                    if runner is not None:
                        (runner.stop if message["channel"] == CONTROL.encode() else runner.heard)()
        finally:
            await client.aclose()

    async def _drain(self, seconds: float) -> None:
        self._draining = True
        async with self._claiming:  # a claim that is under way is waited for, or its runs would be nobody's
            pass
        acting = asyncio.create_task(self.executor.drain(seconds))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds if self.runners else 0.01)
        left = [(runner.claim.run_id, runner.claim.attempt, runner.account.spent) for runner in self.runners.values()]
        for runner in list(self.runners.values()):
            runner.abandon()
        if left:
            await bridge.in_thread(leases.release, left)
        await acting
        await delivery.drain(seconds)


def answer_bell(worker: str, limit: int, sated: list[UUID]) -> list[leases.Claim]:
    """Claim what is ready; the bell is answered before, so that what is committed meanwhile rings anew."""
    queue.answered(bells.RUNS)
    return leases.claim(worker, limit=limit, sated=sated)


def _touch(file: str) -> None:
    if file:
        Path(file).touch()


_engine: Engine | None = None
_lock = threading.Lock()


def engine(queues: Iterable[str] | None = None) -> Engine:
    """This process's engine, started at the first call, for these queues or all; a forked child has its own."""
    global _engine
    with _lock:
        if _engine is None or not _engine.name.endswith(f":{os.getpid()}"):
            _engine = Engine(queues)
            _engine.start()
    return _engine
