"""How many audited changes a second the services make, and how fast the log is chained and verified.

Imports models: `countersigning.connect` comes first.
"""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Count

from accounts.models import Workspace
from approvals.models import AuditEvent, AuditSeal
from approvals.services import audit, sealing, verifying
from benchmarks import lives, proc, stream
from benchmarks.countersigning import Figure, at_least
from core import ids

TOGETHER = 5  # events to a transaction


def changes(data_dir: Path, roots: list[int], seconds: float, processes: int, threads: int) -> Figure:
    """Whole lives of risky calls in so many processes of so many threads, each with a connection of its own."""
    with ExitStack() as open_:
        children = [
            open_.enter_context(stream.child("benchmarks.living", str(data_dir), str(threads)))
            for _ in range(processes)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n", "it printed why it is not"
        last = AuditEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or ids.new()
        began, servers = time.monotonic(), proc.cpu(roots)["postgresql"]
        for child in children:
            assert child.stdin is not None
            child.stdin.write(f"{seconds}\n")
            child.stdin.flush()
        spent = sum(json.loads(child.stdout.readline()) for child in children if child.stdout is not None)
        took, servers = time.monotonic() - began, proc.cpu(roots)["postgresql"] - servers
    made = dict(AuditEvent.objects.filter(pk__gt=last).values_list("type").annotate(Count("pk")))
    total = sum(made.values())
    assert set(made) == set(lives.STEPS), f"other changes than were to be measured: {made}"
    each = f" ({spent / total * 1000:.1f} ms of CPU in Python and {servers / total * 1000:.1f} in PostgreSQL each)"
    where = f"{threads} threads of one process" if processes == 1 else f"{processes} processes of {threads} threads"
    return at_least(f"Audited state changes a second, {where}", total / took, 300, each)


def chained(count: int, threads: int) -> Figure:
    """Record events from several threads while they are sealed; done when the last one has its place."""
    sealed()
    workspace = Workspace.objects.get(slug="other")
    each = count // threads // TOGETHER * TOGETHER
    before, done = _end(workspace), threading.Event()

    def write(_: int) -> None:
        for start in range(0, each, TOGETHER):
            with transaction.atomic():
                audit.record(*(_entry(workspace, place) for place in range(start, start + TOGETHER)))
        connection.close()

    def chain() -> None:
        while not done.is_set():
            if not sealing.seal():
                time.sleep(0.01)
        connection.close()

    began, spent = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(threads + 1) as pool:
        sealer = pool.submit(chain)
        try:
            list(pool.map(write, range(threads)))
            while _end(workspace) < before + each * threads and not sealer.done():
                time.sleep(0.01)
        finally:
            done.set()
        sealer.result()
    seconds, spent = time.monotonic() - began, time.process_time() - spent
    more = f" ({spent / (each * threads) * 1e6:.0f} µs of CPU here each)"
    name = f"Audit events a second recorded and chained, {threads} threads, {TOGETHER} to a transaction"
    return at_least(name, each * threads / seconds, 2_000, more)


def sealed() -> int:
    """Seal all that waits; returns how many those were."""
    total = 0
    while some := sealing.seal():
        total += some
    return total


def verified() -> Figure:
    """Verify every chain there is."""
    began, spent = time.monotonic(), time.process_time()
    report = verifying.verify()
    seconds, spent = time.monotonic() - began, time.process_time() - spent
    found = "sound" if report.ok else f"NOT SOUND: {report.faults[0].text}"
    more = f" over {report.rows:,} rows, {found} ({spent / seconds:.0%} of a core here)"
    return at_least("Audit rows verified a second", report.rows / seconds, 50_000, more, sound=report.ok)


def _entry(workspace: Workspace, place: int) -> audit.Entry:
    return audit.Entry(type="agent.changed", workspace_id=workspace.pk, who=audit.SYSTEM, data={"place": place})


def _end(workspace: Workspace) -> int:
    seals = AuditSeal.objects.filter(workspace=workspace).order_by("-seq")
    return seals.values_list("seq", flat=True).first() or 0
