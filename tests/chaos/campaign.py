"""The fault harness: people ask and decide, processes die, and what is left is held against what was promised.

`make chaos ARGS="--actions 1000 --faults 200 --seed 7 --write"`; docs/reliability.md tells what it does.
"""

import argparse
import json
import os
import platform
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from config.supervisor import say
from tests.chaos import evidence, report
from tests.chaos.evidence import Evidence
from tests.chaos.history import History, Person
from tests.chaos.nemesis import Nemesis
from tests.chaos.people import Caretaker, Manager, Member, seeded, thread
from tests.chaos.processes import Processes
from tests.chaos.workload import POLICIES, TOOLS, Workload
from tests.servers import session

ASKING = ("member", "member", "member", "member2", "member2", "manager")
DECIDING = ("manager", "manager2")
SETTLE_SECONDS = 120.0
GOODBYE_SECONDS = 20.0
DELIVER_SECONDS = 180.0  # the lease of a delivery whose worker died is two minutes
_MOVING = """
SELECT (SELECT count(*) FROM chat_action WHERE state NOT IN ('succeeded', 'failed', 'refused'))
    + (SELECT count(*) FROM chat_run WHERE state NOT IN ('completed', 'failed', 'cancelled'))
    + (SELECT count(*) FROM approvals_approval WHERE status = 'pending')
    + (SELECT count(*) FROM approvals_auditunsealed)"""
_UNDELIVERED = """SELECT count(*) FROM approvals_outboxitem
    WHERE done_at IS NULL AND failed_at IS NULL AND topic = 'webhook'"""
_UNKNOWN = "SELECT id::text FROM chat_action WHERE state = 'unknown'"


@dataclass(frozen=True)
class Size:
    """How much is asked for, and how much goes wrong; `pause` is the mean time between two faults."""

    actions: int
    faults: int
    seed: str
    webs: int = 2
    workers: int = 3
    lease: float = 4.0
    pause: float = 3.0
    seconds: float = 1200.0  # after which no more is asked
    deliveries: bool = True  # whether every webhook is waited for


@dataclass
class Outcome:
    """What a campaign came to; `folder` has its files, for the caller to remove."""

    size: Size
    evidence: Evidence
    happened: dict[str, int]
    seconds: float
    folder: Path
    findings: dict[str, list[str]] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept, by as much as was to be done."""
        asked = len(self.evidence.actions) + self.evidence.cut_off
        whole = asked >= self.size.actions and sum(self.happened.values()) >= self.size.faults
        return whole and not any(self.findings.values())


def run(size: Size) -> Outcome:
    """Run a campaign."""
    folder = Path(tempfile.mkdtemp(prefix="cs-chaos-"))
    history = History(folder / "history.jsonl")
    processes = Processes(folder, size.seed, history, webs=size.webs, workers=size.workers, lease=size.lease)
    begun = time.monotonic()
    with ExitStack() as leaving:
        leaving.callback(history.close)
        leaving.callback(processes.close)
        processes.start()
        _prepare(processes)
        campaign = Campaign(size, processes, history)
        leaving.callback(campaign.end)
        campaign.rage()
        campaign.settle()
        campaign.end()
        found = evidence.collect(
            processes.stack, effects=processes.effects, history=folder / "history.jsonl", in_flight=processes.caught
        )
        found.chain += verified(processes)
    outcome = Outcome(size, found, dict(processes.happened), time.monotonic() - begun, folder)
    outcome.findings = report.findings(found)
    return outcome


def verified(processes: Processes) -> list[str]:
    """What `manage.py audit verify` says against the log."""
    try:
        processes.stack.manage("audit", "verify")
    except AssertionError as error:
        return [line for line in str(error).splitlines() if line.startswith("BAD")] or [str(error)]
    return []


def _prepare(processes: Processes) -> None:
    """Give the demo's agent the tools, and the workspace its policies and a webhook."""
    stack = processes.stack
    stack.sql("UPDATE agents_agent SET tools = tools || %s::jsonb WHERE slug = 'devops'", json.dumps(list(TOOLS)))
    rules = json.dumps([{"tool": "chaos_*", **rule} for rule in POLICIES])
    stack.manage("policy", "import", "--workspace", "demo", "--by", "admin@demo.example", "-", stdin=rules)
    with httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as http:
        token = http.post("/v1/auth/login", json=stack.demo["users"]["admin"]).json()["access"]
        body = {"url": f"{processes.sink_url}/hook"}
        answer = http.put("/v1/ai/webhooks/config", json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text


class Campaign:
    """The people and the faults, at the same time."""

    def __init__(self, size: Size, processes: Processes, history: History) -> None:
        self._size, self._processes, self._history = size, processes, history
        self._workload = Workload(size.seed, size.actions)
        self._nemesis = Nemesis(processes, size.seed)
        self._over = threading.Event()
        self._people: list[Person] = []
        asking = [self._person(name, f"{name} {place}") for place, name in enumerate(ASKING)]
        members = [Member(person, self._workload, alone=person.name == "manager") for person in asking]
        managers = [Manager(self._person(name, name), self._workload, second=name != "manager") for name in DECIDING]
        caretaker = Caretaker(self._person("admin", "admin"), processes.effects, self._unknown)
        self._others = [thread(one.person, one.live) for one in (*managers, caretaker)]
        self._asking = [thread(one.person, one.live) for one in members]

    def _person(self, name: str, whims: str) -> Person:
        stack = self._processes.stack
        login, rng = stack.demo["users"][name], seeded(self._size.seed, whims)
        self._people.append(Person(name, login, stack.urls, history=self._history, over=self._over, rng=rng))
        return self._people[-1]

    def _unknown(self) -> list[str]:
        if self._processes.asleep:  # whoever wakes may still do what it was about to: nobody can be sure before
            return []
        with suppress(psycopg.OperationalError):
            return [row[0] for row in self._processes.stack.sql(_UNKNOWN)]
        return []

    @property
    def asking(self) -> bool:
        """Whether anybody still asks, or waits for an answer."""
        return any(one.is_alive() for one in self._asking)

    def rage(self) -> None:
        """Ask and break until all was asked for and enough has gone wrong."""
        size, nemesis, due, struck = self._size, self._nemesis, 0.0, 0
        ends = time.monotonic() + size.seconds
        while time.monotonic() < ends and (self._workload.planned < size.actions or nemesis.count < size.faults):
            self._workload.grant(size.actions * (struck + 3) // max(1, size.faults))
            idle = self._workload.planned >= size.actions
            wanted = nemesis.count + (0 if idle else nemesis.laid) < size.faults
            if wanted and time.monotonic() >= due:
                nemesis.strike(at_once=idle)
                struck += 1
                due = time.monotonic() + size.pause * nemesis.rng.uniform(0.5, 1.5)
            nemesis.tend()
            time.sleep(0.03)

    def settle(self) -> None:
        """Let everything come to its end, with nothing going wrong any more."""
        self._nemesis.rest()
        self._workload.close()
        self._until(lambda: not self.asking and self._processes.stack.sql(_MOVING) == [(0,)], SETTLE_SECONDS)
        if self._size.deliveries:
            self._until(lambda: self._processes.stack.sql(_UNDELIVERED) == [(0,)], DELIVER_SECONDS)

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            self._nemesis.tend()
            time.sleep(0.1)

    def end(self) -> None:
        """Send everybody home."""
        self._over.set()
        self._workload.close()
        deadline = time.monotonic() + GOODBYE_SECONDS
        for one in (*self._asking, *self._others):
            one.join(max(0.0, deadline - time.monotonic()))
        for person in self._people:
            person.http.close()


def main() -> int:
    """Run a campaign from the command line; the exit code is 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--actions", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", default=secrets.token_hex(3))
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two faults, in the mean")
    parser.add_argument("--minutes", type=float, default=20.0, help="after which no more is asked")
    parser.add_argument("--write", action="store_true", help="put the report into docs/reliability.md")
    parser.add_argument("--keep", type=Path, help="a folder for the history and the effects")
    given = parser.parse_args()
    size = Size(
        given.actions, given.faults, given.seed, workers=given.workers, pause=given.pause, seconds=given.minutes * 60
    )
    say(f"{size.actions} actions, {size.faults} faults, seed {size.seed}; this takes a while …")
    try:
        outcome = run(size)
    finally:
        session.pytest_unconfigure()
    command = f'make chaos ARGS="--actions {size.actions} --faults {size.faults} --seed {size.seed}"'
    minutes = f"{outcome.seconds / 60:.1f} minutes"
    head = f"`{command}`: {minutes} on {os.cpu_count()} cores, Python {platform.python_version()}."
    told = report.text(outcome.evidence, outcome.findings, outcome.happened, head)
    say(told)
    if not outcome.clean:
        say(f"\nBroken promises:\n{report.examples(outcome.findings)}\nThe files are in {outcome.folder}.")
    if given.write:
        report.write(told)
    if given.keep:
        shutil.copytree(outcome.folder, given.keep, dirs_exist_ok=True)
    if outcome.clean:
        shutil.rmtree(outcome.folder)
    return 0 if outcome.clean else 1


if __name__ == "__main__":
    sys.exit(main())
