"""The processes of a campaign: started again when they die, as by a supervisor, and made to die where it is wanted."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import psutil

from config import bootstrap
from config import stack as shipped
from config.supervisor import Part
from core import embedded_child
from tests.chaos.history import History
from tests.servers.stack import Stack, eventually, free_port

WORKER_POINTS = (
    "action.before_claim", "action.in_audit_write", "action.claimed", "action.before_send", "action.sent",
    "action.before_ack", "action.acked", "step.before_commit", "step.committed",
)  # fmt: skip
STOP_POINTS = ("action.claimed", "action.before_send", "action.sent")
WEB_POINTS = ("decision.before_commit", "decision.committed")
FAULT_ENVIRONMENT = {
    "EXTRA_APPS": "tests.chaos",
    "RUN_SWEEP_SECONDS": "1",
    "RUN_CHECKPOINT_SECONDS": "0.5",
    "RUN_MAX_ATTEMPTS": "10",
    "DRAIN_SECONDS": "3",
    "WEBHOOK_PRIVATE_ADDRESSES": "127.0.0.0/8",
    "LIMIT_LOGIN": "1000000",
    "LIMIT_DECIDE": "1000000",
}
_CAUGHT = """SELECT id::text FROM chat_action
    WHERE (worker LIKE %s OR %s) AND (state = 'executing' OR (code = 'worker_lost' AND NOT %s))"""


class Processes:
    """The stack, its sink and its faults. Every fault that happens is counted under its name."""

    def __init__(self, folder: Path, seed: str, history: History, *, webs: int, workers: int, lease: float) -> None:
        self.rng = Random(f"{seed} processes")
        self.lease, self.history = lease, history
        self.effects = folder / "effects.jsonl"
        self.happened: Counter[str] = Counter()
        self.caught: set[str] = set()
        """Actions that a fault caught executing."""
        port = free_port()
        self.sink_url = f"http://127.0.0.1:{port}"
        env = {
            **FAULT_ENVIRONMENT,
            "CHAOS_SINK": self.sink_url,
            "RUN_LEASE_SECONDS": str(lease),
            "ACTION_LEASE_SECONDS": str(lease),
        }
        self.stack = Stack(webs, workers, False, env, durable=True)
        self.workers = [name for name in self.stack.programs if name.startswith("worker")]
        self.webs = list(self.stack.ports)
        self._armed: dict[Path, str] = {}
        self._due: dict[str, float] = {}  # when who is dead is started again
        self._thaw: dict[str, float] = {}  # when who sleeps is woken
        for name in self.workers:
            self._arm_able(name, {"once": WORKER_POINTS, "stop": STOP_POINTS})
        for name in self.webs:
            self._arm_able(name, {"once": WEB_POINTS})
        argv = [sys.executable, "-m", "tests.servers.sink", str(port), str(self.effects), seed]
        self._sink = Part(
            "sink", lambda out: embedded_child.start(argv, output=out, cwd=bootstrap.BASE_DIR), signal.SIGTERM, 5.0
        )

    def _arm_able(self, name: str, points: dict[str, tuple[str, ...]]) -> None:
        """Give a program its named points, none of which kills it as long as its flag is there."""
        flags = self.stack.folder / "flags" / name
        flags.mkdir(parents=True)
        faults = []
        for kind, point in ((kind, point) for kind, several in points.items() for point in several):
            flag = flags / f"{kind}.{point}"
            flag.touch()
            faults.append(f"{point}={kind}:{flag}")
        env = {**self.stack.env, "FAULTS": ",".join(faults)}
        is_web = name in self.stack.ports
        self.stack.programs[name] = (
            shipped.web(name, "127.0.0.1", self.stack.ports[name], env) if is_web else shipped.worker(name, env)
        )

    def start(self) -> None:
        """Start everything and wait until it works."""
        with bootstrap.log_file(self.stack.folder, "sink").open("ab") as output:
            self._sink.child = self._sink.launch(output)
        for name in (*self.stack.servers, *self.stack.programs):
            self.stack.start(name)
        self.stack.wait()

    def close(self) -> None:
        """Stop everything at once."""
        self.stack.close()
        if self._sink.child is not None:
            embedded_child.stop(self._sink.child, by=signal.SIGKILL)

    def note(self, fault: str, **told: object) -> None:
        """Count a fault that has happened."""
        self.happened[fault] += 1
        self.history.note("nemesis", "info", fault, **told)

    def alive(self, names: list[str]) -> list[str]:
        """Those of them that run and are awake."""
        return [name for name in names if name in self.stack.children and name not in self._thaw]

    @property
    def asleep(self) -> bool:
        """Whether a program is stopped, with something in its hands perhaps."""
        return bool(self._thaw)

    @property
    def laid(self) -> int:
        """How many faults lie in wait."""
        return len(self._armed)

    def tend(self) -> None:
        """See who has died or fallen asleep at a named point, start again who is dead, wake who has slept enough."""
        for name in (*self.workers, *self.webs):
            child = self.stack.children.get(name)
            if child is None:
                if time.monotonic() >= self._due.get(name, 0.0):
                    self.stack.start(name)
            elif child.poll() is not None:
                self.stack.children.pop(name)
                self._died(name, child.pid, self._fired(name, "once") or f"ended with {child.returncode}")
            elif name in self._thaw:
                if time.monotonic() >= self._thaw[name]:
                    self._catch(child.pid)
                    self._thaw.pop(name)
                    self.stack.thaw(name)
            elif point := self._fired(name, "stop"):
                eventually(lambda pid=child.pid: _stopped(pid), f"{name} stops at {point}")
                self._slept(name, child.pid, f"worker stopped beyond its lease at {point}")

    def _fired(self, name: str, kind: str) -> str:
        """The armed point that a program has reached; empty where it has reached none."""
        for flag, point in list(self._armed.items()):
            if flag.parent.name == name and flag.name.startswith(kind) and flag.exists():
                del self._armed[flag]
                return point
        return ""

    def _died(self, name: str, pid: int, how: str) -> None:
        embedded_child.kill_group(pid)
        self._fired(name, "stop")
        self._catch(pid)
        self.note(f"{name.rstrip('0123456789')} killed at {how}", process=name)
        self._due[name] = time.monotonic() + self.rng.uniform(0.0, 0.6)

    def _slept(self, name: str, pid: int, how: str) -> None:
        self._fired(name, "stop")  # it may have come to such a point in the very moment in which it was stopped
        self._catch(pid)
        self.note(how, process=name)
        self._thaw[name] = time.monotonic() + self.lease + self.rng.uniform(1.0, 8.0)

    def _catch(self, pid: int) -> None:
        """Note what a process had in its hands: what it still has, and what was taken from it this moment."""
        self.caught |= {row[0] for row in self.stack.sql(_CAUGHT, f"%:{pid}", False, False)}

    def catch_all(self) -> None:
        """Note what all workers have in their hands."""
        self.caught |= {row[0] for row in self.stack.sql(_CAUGHT, "", True, True)}

    def arm(self, name: str, kind: str, point: str) -> bool:
        """Have a program die or stop the next time that it comes to a point; False where that was so already."""
        flag = self.stack.folder / "flags" / name / f"{kind}.{point}"
        if flag in self._armed:
            return False
        self._armed[flag] = point
        flag.unlink()
        return True

    def disarm(self) -> None:
        """Let nobody die any more, and wake who sleeps."""
        for flag in list(self._armed):
            with contextlib.suppress(FileExistsError):
                os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
                del self._armed[flag]
        self._thaw = dict.fromkeys(self._thaw, 0.0)

    def kill(self, name: str, by: int = signal.SIGKILL) -> None:
        """Kill a program, at whatever it is."""
        pid = self.stack.pid(name)
        self.stack.kill(name, by)
        self._due[name] = time.monotonic() + self.rng.uniform(0.0, 0.6)
        self._catch(pid)

    def sleep(self, name: str) -> None:
        """Stop a worker for longer than its lease."""
        self.stack.freeze(name)
        pid = self.stack.pid(name)
        eventually(lambda: _stopped(pid), f"{name} stops")
        self._slept(name, pid, "worker stopped beyond its lease")

    def restart_server(self, name: str, by: int, *, away: float, forget: bool = False) -> None:
        """Kill a server, leave it dead for a while, and start it again; `forget` removes what Valkey has on disk."""
        if name == "postgres":
            self.catch_all()
        self.stack.kill(name, by)
        if forget:
            shutil.rmtree(self.stack.home.path / "valkey")
        time.sleep(away)
        self.stack.start(name)
        if name == "postgres":
            self.catch_all()


def _stopped(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
