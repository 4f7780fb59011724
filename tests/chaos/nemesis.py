"""The faults: which there are, how often each comes, how one is brought about. Their order follows from the seed."""

import signal
import time
from collections.abc import Callable
from random import Random

from celery import Celery

from tests.chaos.processes import STOP_POINTS, WEB_POINTS, WORKER_POINTS, Processes

DROPPING_SECONDS = 3.0
RUNG = 10  # times that a doubled doorbell rings
QUEUES = ("runs", "actions", "outbox")
BELLS = ("bell:chat.execute_run", "bell:chat.execute_action")
_RINGABLE = {
    "chat.execute_run": "SELECT id::text FROM chat_run ORDER BY id DESC LIMIT 12",
    "chat.execute_action": "SELECT id::text FROM chat_action ORDER BY id DESC LIMIT 12",
}
_PENDING = "SELECT id::text FROM chat_action WHERE state IN ('waiting', 'unknown', 'refused') ORDER BY id DESC LIMIT 50"


class Nemesis:
    """Brings faults about, from the one thread that tends the processes."""

    def __init__(self, processes: Processes, seed: str) -> None:
        self.processes = processes
        self.rng = Random(f"{seed} nemesis")
        url = processes.stack.home.redis_url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
        self._celery = Celery("nemesis", broker=url, set_as_current=False)
        self._dropping_until = 0.0
        self._faults: dict[Callable[[], bool], int] = {
            self._kill_at_a_point: 30,
            self._kill_a_worker: 14,
            self._stop_at_a_point: 6,
            self._stop_a_worker: 4,
            self._end_a_worker: 4,
            self._kill_a_web: 6,
            self._kill_a_web_at_a_point: 8,
            self._flush_valkey: 4,
            self._kill_valkey: 5,
            self._empty_valkey: 2,
            self._crash_postgres: 6,
            self._drop_bells: 4,
            self._double_bells: 4,
            self._ring_for_what_is_pending: 3,
        }
        self._waiting = (self._kill_at_a_point, self._stop_at_a_point, self._kill_a_web_at_a_point)

    @property
    def count(self) -> int:
        """How many faults have happened."""
        return self.processes.happened.total()

    @property
    def laid(self) -> int:
        """How many lie in wait at named points."""
        return self.processes.laid

    def strike(self, *, at_once: bool) -> None:
        """Bring one fault about, or lay it in wait at a named point, unless it is to happen `at_once`."""
        faults = {how: often for how, often in self._faults.items() if not at_once or how not in self._waiting}
        while not self.rng.choices(list(faults), list(faults.values()))[0]():
            self.processes.tend()

    def tend(self) -> None:
        """Go on with what lasts."""
        self.processes.tend()
        if time.monotonic() < self._dropping_until:
            self._drop()

    def rest(self) -> None:
        """Nothing more happens."""
        self._dropping_until = 0.0
        self.processes.disarm()
        self._celery.close()

    def _some(self, names: list[str]) -> str:
        alive = self.processes.alive(names)
        return self.rng.choice(alive) if alive else ""

    def _arm(self, names: list[str], kind: str, points: tuple[str, ...]) -> bool:
        name, point = self._some(names), self.rng.choice(points)
        return bool(name) and self.processes.arm(name, kind, point)

    def _kill_at_a_point(self) -> bool:
        return self._arm(self.processes.workers, "once", WORKER_POINTS)

    def _stop_at_a_point(self) -> bool:
        return self._arm(self.processes.workers, "stop", STOP_POINTS)

    def _kill_a_web_at_a_point(self) -> bool:
        return self._arm(self.processes.webs, "once", WEB_POINTS)

    def _kill_a_worker(self) -> bool:
        return self._kill(self.processes.workers, "worker killed", signal.SIGKILL)

    def _end_a_worker(self) -> bool:
        return self._kill(self.processes.workers, "worker ended with SIGTERM", signal.SIGTERM)

    def _kill_a_web(self) -> bool:
        return self._kill(self.processes.webs, "web killed", signal.SIGKILL)

    def _kill(self, names: list[str], fault: str, by: int) -> bool:
        if name := self._some(names):
            self.processes.kill(name, by)
            self.processes.note(fault, process=name)
        return bool(name)

    def _stop_a_worker(self) -> bool:
        if name := self._some(self.processes.workers):
            self.processes.sleep(name)
        return bool(name)

    def _flush_valkey(self) -> bool:
        with self.processes.stack.valkey() as valkey:
            valkey.flushall()
        self.processes.note("valkey flushed")
        return True

    def _kill_valkey(self) -> bool:
        self.processes.restart_server("valkey", signal.SIGKILL, away=self.rng.uniform(0.0, 2.0))
        self.processes.note("valkey killed and started again")
        return True

    def _empty_valkey(self) -> bool:
        self.processes.restart_server("valkey", signal.SIGKILL, away=self.rng.uniform(0.0, 2.0), forget=True)
        self.processes.note("valkey killed and started again with nothing")
        return True

    def _crash_postgres(self) -> bool:
        by = self.rng.choice([signal.SIGKILL, signal.SIGQUIT])
        long = self.rng.random() < 0.25
        away = self.processes.lease + 1.0 if long else self.rng.uniform(0.0, 2.0)
        self.processes.restart_server("postgres", by, away=away)
        how = "killed" if by == signal.SIGKILL else "shut down at once"
        self.processes.note(f"postgres {how} and started again" + (", away beyond the lease" if long else ""))
        return True

    def _drop_bells(self) -> bool:
        self._dropping_until = time.monotonic() + DROPPING_SECONDS
        self.processes.note("doorbells dropped for a while")
        return True

    def _drop(self) -> None:
        with self.processes.stack.valkey() as valkey:
            valkey.delete(*QUEUES)
            for bell in BELLS:
                valkey.set(bell, "1", px=500)  # as if somebody had rung already: no bell is sent

    def _double_bells(self) -> bool:
        for name, ids in _RINGABLE.items():
            self._ring(name, ids)
        self.processes.note("doorbells rung ten times over")
        return True

    def _ring_for_what_is_pending(self) -> bool:
        self._ring("chat.execute_action", _PENDING)
        self.processes.note("doorbells rung for what must not run")
        return True

    def _ring(self, name: str, ids: str) -> None:
        for (row_id,) in self.processes.stack.sql(ids):
            for _ in range(RUNG):
                self._celery.send_task(name, args=[row_id], queue="runs", ignore_result=True)
