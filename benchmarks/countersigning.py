"""What is measured of the stack from within: this process speaks to the stack's own database and Valkey."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import django
import httpx

from core import embedded_home

CALL = '[[rehearse: call=service_restart {"service": "web"}]]'
ASK = {"message": CALL, "companion": "devops", "model": "rehearsal"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `reached` is None where there is no target."""

    name: str
    measured: str
    target: str
    reached: bool | None = None


def connect(data_dir: Path) -> None:
    """Load Django on the stack's servers."""
    home = embedded_home.find(data_dir)
    os.environ |= {
        "DATA_DIR": str(data_dir),
        "DATABASE_URL": home.database_url,
        "REDIS_URL": home.redis_url,
        "SECRET_KEY": (data_dir / "secret_key").read_text().strip(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    django.setup()


def sign_in(base_url: str, login: dict[str, str]) -> httpx.Client:
    """A client of somebody of the demo."""
    body = {"email": login["email"], "password": login["password"]}
    token = httpx.post(f"{base_url}/v1/auth/login", json=body, timeout=60, trust_env=False).json()["access"]
    return httpx.Client(base_url=base_url, timeout=60, trust_env=False, headers={"Authorization": f"Bearer {token}"})


def decisions(base_url: str, key: str, manager: dict[str, str], count: int) -> list[Figure]:
    """Decide so many requests one after another, each on an idle stack; times are the database's."""
    from chat.models import Action  # noqa: PLC0415  Django is loaded by now

    asker = httpx.Client(base_url=base_url, timeout=60, trust_env=False, headers={"Authorization": f"Bearer {key}"})
    waited: list[float] = []
    with asker, sign_in(base_url, manager) as decider:
        for _ in range(count):
            told = asker.post("/v1/ai/chat", json=ASK).json()
            approval_id = told["approvals"][0]
            decider.post(f"/v1/ai/approvals/{approval_id}", json={"decision": "approve"}).raise_for_status()
            waited.append(_until_started(approval_id, Action))
    p50, p99 = median(waited), quantiles(waited, n=100)[98]
    return [
        Figure(f"decision to start of the action, p50 of {count}", f"{p50:.0f} ms", "60 ms", p50 <= 60),
        Figure("the same, p99", f"{p99:.0f} ms", "400 ms", p99 <= 400),
    ]


def without_bell(base_url: str, key: str, manager: dict[str, str], count: int) -> Figure:
    """The same with no doorbell: its flag says that somebody rang already, so that nobody does."""
    from django.conf import settings  # noqa: PLC0415

    from chat import bells  # noqa: PLC0415
    from chat.models import Action  # noqa: PLC0415
    from core import valkey  # noqa: PLC0415

    asker = httpx.Client(base_url=base_url, timeout=60, trust_env=False, headers={"Authorization": f"Bearer {key}"})
    waited: list[float] = []
    with asker, sign_in(base_url, manager) as decider:
        for _ in range(count):
            told = asker.post("/v1/ai/chat", json=ASK).json()
            for bell in (bells.RUNS, bells.ACTIONS):
                valkey.client().set(f"bell:{bell}", "1", px=20_000)
            decider.post(f"/v1/ai/approvals/{told['approvals'][0]}", json={"decision": "approve"}).raise_for_status()
            waited.append(_until_started(told["approvals"][0], Action))
    limit = (settings.RUN_SWEEP_SECONDS * 1.25 + settings.ACTION_LEASE_SECONDS) * 1000
    worst = max(waited)
    return Figure(
        f"the same with the doorbell dropped, worst of {count}", f"{worst:.0f} ms", f"{limit:.0f} ms", worst <= limit
    )


def _until_started(approval_id: str, actions: type) -> float:
    """Milliseconds from the decision to the start of its action, by the database's clock."""
    from approvals.models import Approval  # noqa: PLC0415

    while True:
        action = actions.objects.get(approval_id=approval_id)  # type: ignore[attr-defined]
        if action.started_at is not None:
            decided = Approval.objects.get(pk=approval_id).decided_at
            assert decided is not None
            seconds: float = (action.started_at - decided).total_seconds()
            while actions.objects.filter(pk=action.pk, state="executing").exists():  # type: ignore[attr-defined]
                time.sleep(0.01)
            return seconds * 1000
        time.sleep(0.005)


def changes(seconds: float, threads: int) -> Figure:
    """Request, decide, claim and settle through the services from several threads; each is some audited changes."""
    from django.db import connection  # noqa: PLC0415

    from approvals.models import AuditEvent  # noqa: PLC0415
    from benchmarks.filling import Cycle  # noqa: PLC0415

    before, cpu = AuditEvent.objects.count(), time.process_time()
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        cycle = Cycle(number)
        while time.monotonic() < end:
            cycle.turn()
        connection.close()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    made = AuditEvent.objects.count() - before
    rate, spent = made / seconds, (time.process_time() - cpu) / max(1, made) * 1000
    text = f"{rate:.0f} ({spent:.1f} ms of Python CPU each)"
    return Figure(f"audited state changes a second, {threads} threads", text, "300", rate >= 300)


def chained(count: int, threads: int) -> Figure:
    """Record events from several threads while they are sealed; done when the last one has its place."""
    from django.db import connection, transaction  # noqa: PLC0415

    from accounts.models import Workspace  # noqa: PLC0415
    from approvals.models import AuditSeal  # noqa: PLC0415
    from approvals.services import audit, sealing  # noqa: PLC0415

    while sealing.seal():
        pass
    workspace = Workspace.objects.get(slug="other")
    before, done = AuditSeal.objects.filter(workspace=workspace).count(), threading.Event()

    def entry(place: int) -> audit.Entry:
        return audit.Entry(type="agent.changed", workspace_id=workspace.pk, who=audit.SYSTEM, data={"place": place})

    def write(_: int) -> None:
        for start in range(0, count // threads, 5):
            with transaction.atomic():
                audit.record(*(entry(place) for place in range(start, start + 5)))
        connection.close()

    def chain() -> None:
        while not done.is_set():
            if not sealing.seal():
                time.sleep(0.01)
        connection.close()

    began = time.monotonic()
    sealer = threading.Thread(target=chain)
    sealer.start()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(threads)))
    while AuditSeal.objects.filter(workspace=workspace).count() < before + count // threads // 5 * 5 * threads:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    done.set()
    sealer.join()
    rate = count / seconds
    return Figure(
        "audit events a second, five to a transaction, recorded and chained", f"{rate:.0f}", "2000", rate >= 2000
    )


def verified() -> Figure:
    """Verify every chain there is."""
    from approvals.services import verifying  # noqa: PLC0415

    began, cpu = time.monotonic(), time.process_time()
    report = verifying.verify()
    seconds = time.monotonic() - began
    rate = report.rows / seconds
    found = "sound" if report.ok else f"FAULTS: {report.faults[0].text}"
    text = (
        f"{rate:,.0f} over {report.rows:,} rows, {found} ({(time.process_time() - cpu) / seconds:.0%} of a core here)"
    )
    return Figure("audit rows verified a second", text, "50,000", rate >= 50_000 and report.ok)


def timed(call: Callable[[], object], rounds: int) -> float:
    """The median of so many calls, in milliseconds, after three that do not count."""
    for _ in range(3):
        call()
    times = []
    for _ in range(rounds):
        before = time.perf_counter()
        call()
        times.append((time.perf_counter() - before) * 1000)
    return median(times)
