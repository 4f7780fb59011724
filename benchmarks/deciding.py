"""From a manager's decision to the start of what it releases: over HTTP, one decision after another, on an idle stack.

Imports models: `countersigning.connect` comes first.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import httpx
from django.conf import settings

from approvals.models import Approval
from benchmarks import wire
from benchmarks.countersigning import Figure, at_most, spread
from chat import bells
from chat.models import Action
from core import queue, valkey

CALL = '[[rehearse: tokens=2 interval=0 call=service_restart {"service": "web"}]]'
ASK = {"message": CALL, "companion": "devops", "model": "rehearsal", "stream": True}
PATIENCE = 60.0
HELD = b"held"  # what stands in a bell's flag while nobody is to ring it
HELD_MS = 30_000
SWEEP_JITTER = 1.25  # a worker sweeps this much later at most


@dataclass(frozen=True, slots=True)
class Seen:
    """Seconds from one decision to the start of its action by the database's clock, and what the client saw.

    The client counts from before it sends the decision: to the answer, and to the tool's result in the open stream.
    """

    started: float
    answered: float
    result: float


class Desk:
    """A member who asks for something risky in an open stream, and the manager who decides."""

    def __init__(self, base_url: str, key: str, manager: dict[str, str]) -> None:
        self.asker = _client(base_url, key)
        body = {"email": manager["email"], "password": manager["password"]}
        answer = httpx.post(f"{base_url}/v1/auth/login", json=body, timeout=PATIENCE, trust_env=False)
        self.decider = _client(base_url, answer.raise_for_status().json()["access"])
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="stream")

    def decide(self, *, ring: bool = True) -> Seen | None:
        """One call from the question to the end of the stream; None where a bell was to be silent and was not."""
        heard: SimpleQueue[tuple[float, wire.Event]] = SimpleQueue()
        stream = self._threads.submit(self._watch, heard)
        asked = json.loads(_until("approval_required", heard, stream)[1].data)
        address = f"/v1/ai/approvals/{asked['approval_id']}"
        with _ringing() if ring else _silenced() as undisturbed:
            before = time.perf_counter()
            self.decider.post(address, json={"decision": "approve"}).raise_for_status()
            answered = time.perf_counter() - before
            kept = undisturbed()
            at, told = _until("tool_result", heard, stream)
        assert json.loads(told.data)["ok"], told.data
        stream.result(PATIENCE)
        started = Action.objects.values_list("started_at", flat=True).get(approval_id=asked["approval_id"])
        decided = Approval.objects.values_list("decided_at", flat=True).get(pk=asked["approval_id"])
        assert started is not None, "its result was told"
        assert decided is not None, "it was approved"
        return Seen((started - decided).total_seconds(), answered, at - before) if kept else None

    def _watch(self, heard: "SimpleQueue[tuple[float, wire.Event]]") -> None:
        events = wire.Events()
        with self.asker.stream("POST", "/v1/ai/chat", json=ASK) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                now = time.perf_counter()
                for event in events.feed(piece):
                    heard.put((now, event))

    def close(self) -> None:
        """Hang up."""
        self._threads.shutdown()
        self.asker.close()
        self.decider.close()


def decisions(desk: Desk, count: int) -> list[Figure]:
    """So many decisions, after some that do not count."""
    for _ in range(min(10, count)):
        desk.decide()
    seen = [one for one in (desk.decide() for _ in range(count)) if one is not None]
    p50, p99 = spread([one.started for one in seen])
    answered, result = (spread([getattr(one, name) for one in seen]) for name in ("answered", "result"))
    return [
        at_most(f"Decision to the start of its action, p50 of {count}", p50, 60, "ms"),
        at_most("the same, p99", p99, 400, "ms"),
        Figure(
            "Decision sent to the tool's result in the open stream, by the client's clock, p50 / p99",
            f"{result[0]:.0f} / {result[1]:.0f} ms; the decision's own answer after {answered[0]:.0f} / "
            f"{answered[1]:.0f} ms",
        ),
    ]


def without_bell(desk: Desk, count: int) -> Figure:
    """The same with the doorbells dropped; what another rang meanwhile does not count, and is done again."""
    seen: list[Seen] = []
    tries = 0
    while len(seen) < count:
        tries += 1
        assert tries <= 10 * count, "the doorbells cannot be kept silent"
        one = desk.decide(ring=False)
        seen += [one] if one else []
    worst = max(one.started for one in seen) * 1000
    bound = (settings.RUN_SWEEP_SECONDS * SWEEP_JITTER + settings.ACTION_LEASE_SECONDS) * 1000
    more = f" (median {spread([one.started for one in seen])[0]:,.0f})"
    return at_most(f"the same with the doorbells dropped, worst of {count}", worst, bound, "ms", more)


@contextmanager
def _ringing() -> Iterator[Callable[[], bool]]:
    yield lambda: True


@contextmanager
def _silenced() -> Iterator[Callable[[], bool]]:
    """Nobody rings: to all it looks as if somebody had, and whoever was rung for had not answered yet.

    Gives what tells whether it is so still: a worker that sweeps just then answers the bells, and they ring again.
    """
    names = [queue._flag(name) for name in (bells.RUNS, bells.ACTIONS)]
    client = valkey.client()
    for name in names:
        client.set(name, HELD, px=HELD_MS)
    try:
        yield lambda: client.mget(names) == [HELD, HELD]
    finally:
        client.delete(*names)


def _until(
    name: str, heard: "SimpleQueue[tuple[float, wire.Event]]", stream: "Future[None]"
) -> tuple[float, wire.Event]:
    """The next event of this name, with its time; raises what broke the stream."""
    while True:
        try:
            at, event = heard.get(timeout=PATIENCE)
        except Empty:
            stream.result(0)
            raise
        if event.name == name:
            return at, event


def _client(base_url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=base_url, timeout=PATIENCE, trust_env=False, headers=headers)
