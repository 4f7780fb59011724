"""The programs that work, and what waits for them or for people."""

import itertools
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.models import Max, Min, QuerySet
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError

from agents import environment, listings
from agents.models import Provider, ProviderKind
from agents.providers.base import ProviderSpec
from approvals.models import AuditHead, AuditSeal, AuditUnsealed, OutboxItem, WebhookEndpoint
from approvals.services import chain, heads, verifying
from chat.models import Action, ActionState, Run, RunState
from chat.services import attachments
from config.doctor import Finding, Wanted, bad, ok, surroundings, warn
from core.errors import DomainError
from core.sealed import SealBroken
from memory import embedders

LISTENING = 2.0  # seconds that a worker has to say that it lives
LATE = timedelta(minutes=10)  # the scheduler writes down every three minutes when it last rang
WAITED = timedelta(minutes=1)
LATELY = timedelta(days=1)  # within which a question is commonly decided
# Chains whose first event after the newest signed end has its place for long: heads are signed each minute.
_UNSIGNED = f"""
SELECT count(*) FROM ({chain.each("approvals_auditseal")}) AS chain CROSS JOIN LATERAL (
    SELECT event.at FROM approvals_auditseal AS seal JOIN approvals_auditevent AS event ON event.id = seal.event_id
    WHERE seal.workspace_id = chain.workspace_id AND seal.seq > coalesce(
        (SELECT max(seq) FROM approvals_audithead AS head WHERE head.workspace_id = chain.workspace_id), -1)
    ORDER BY seal.seq LIMIT 1) AS grown
WHERE grown.at < now() - make_interval(secs => %s)"""


def check_web(wanted: Wanted) -> Iterator[Finding]:
    """Whether it answers where people reach it."""
    address = surroundings.address()
    url = f"{address or settings.PUBLIC_URL}/v1/ai/health"
    try:
        with httpx.Client(timeout=3, trust_env=False, follow_redirects=False) as client:
            status = client.get(url).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if not address:
            text = f"PUBLIC_URL is not set here, so that it is not known where it answers: not at {settings.PUBLIC_URL}"
            yield warn("web", text, "Set PUBLIC_URL as the processes have it, or start them (make up).")
            return
        yield bad("web", f"{url}: {error}", "Start it (make up), or mend PUBLIC_URL or what stands before it.")
        return
    if status == 200:
        yield ok("web", f"{address or settings.PUBLIC_URL} answers")
    else:
        yield bad("web", f"{url} answers {status}", "Look at what stands before it, and at the log of web.")


def check_workers(wanted: Wanted) -> Iterator[Finding]:
    """Whether workers live, and one for each queue."""
    part = "workers"
    try:
        told: dict[str, Any] = current_app.control.inspect(timeout=LISTENING).active_queues() or {}
    except (BrokerDown, RedisError, OSError) as error:
        yield bad(part, f"cannot be asked: {error}", "Mend Valkey first.")
        return
    served = {queue["name"] for queues in told.values() for queue in queues}
    lacking = sorted({queue.name for queue in current_app.amqp.queues.values()} - served)
    if not told:
        yield bad(part, "none answers: nobody answers messages or runs actions", "Start one, and see its log.")
    elif lacking:
        yield bad(part, f"nobody works for {', '.join(lacking)}", "Start a worker with these queues.")
    else:
        yield ok(part, f"{len(told)} answer: {', '.join(sorted(told)[:4])}")
    waiting = Run.objects.ready().filter(not_before__lt=Now() - WAITED).count()
    if waiting:
        yield bad(
            part, f"{waiting} messages have waited for longer than a minute", "Start more workers; see their logs."
        )


def check_scheduler(wanted: Wanted) -> Iterator[Finding]:
    """Whether it rings each minute, as it is to."""
    part = "scheduler"
    tasks = PeriodicTask.objects.filter(enabled=True, last_run_at__isnull=False)
    if tasks.filter(last_run_at__gte=Now() - LATE).exists():
        yield ok(part, "rings")
        return
    last = tasks.order_by("-last_run_at").values_list("last_run_at", flat=True).first()
    when = f"last at {last:%Y-%m-%d %H:%M} UTC" if last else "not yet, or it came up within the last minutes"
    todo = "Start it: until then no agent wakes by itself, heads are not signed, nothing is tidied up."
    yield (bad if last else warn)(part, f"rang {when}", todo)


def check_waiting(wanted: Wanted) -> Iterator[Finding]:
    """What nobody will do but a person."""
    part, trouble = "to decide", False
    given_up = OutboxItem.objects.filter(failed_at__isnull=False)
    for text, count, todo in (
        (
            "actions of which nobody knows whether they happened",
            Action.objects.filter(state=ActionState.UNKNOWN).count(),
            "Say so: /admin/chat/action/?state=unknown",
        ),
        (
            f"notices were given up, {_ages(given_up, 'failed_at')}",
            given_up.count(),
            "See why: /admin/approvals/outboxitem/",
        ),
        (
            "webhooks are switched off",
            WebhookEndpoint.objects.filter(enabled=False).exclude(disabled_reason="").count(),
            "Mend the receiver, then switch it on: /admin/approvals/webhookendpoint/",
        ),
    ):
        if count:
            trouble = True
            yield warn(part, f"{count} {text}", todo)
    waiting = Run.objects.filter(state=RunState.WAITING_APPROVAL)
    if count := waiting.count():
        text = f"{count} answers wait for people, {_ages(waiting, 'created_at')}"
        late = waiting.filter(created_at__lt=Now() - LATELY).exists()
        yield warn(part, text, "Decide: /admin/approvals/approval/") if late else ok(part, text)
    elif not trouble:
        yield ok(part, "nothing is left to people")


def _ages(rows: QuerySet[Any], field: str) -> str:
    """When the oldest and the newest of some rows came, to be read after their number; empty where there are none."""
    ends = rows.aggregate(first=Min(field), last=Max(field))
    if ends["first"] is None:
        return ""
    first, last = (f"{at:%Y-%m-%d %H:%M}" for at in (ends["first"], ends["last"]))
    return f"since {first} UTC" if first == last else f"from {first} to {last} UTC"


def check_audit(wanted: Wanted) -> Iterator[Finding]:
    """The chain's newest signed ends, or with `audit` all of it."""
    part = "audit log"
    if stuck := AuditUnsealed.objects.filter(event__at__lt=Now() - WAITED).count():
        yield bad(
            part, f"{stuck} events have waited for their place for longer than a minute", "A worker seals: start one."
        )
    if not heads.has_key() and (wanted.audit or AuditHead.objects.exists()):
        text = "its signed ends could not be checked: no key is here, neither AUDIT_SIGNING_KEY nor the file audit_key"
        yield warn(part, text, "Look where the workers run, with their DATA_DIR; the first head makes the key.")
        return
    if wanted.audit:
        yield from _whole(part)
        return
    known = heads.known_keys() if heads.has_key() else {}  # it would be made
    faults = ends = 0
    for row in AuditHead.objects.order_by("workspace_id", "-seq").distinct("workspace_id"):
        ends += 1
        seal = AuditSeal.objects.filter(workspace_id=row.workspace_id, seq=row.seq).first()
        if seal is None or bytes(seal.hash) != bytes(row.hash) or not heads.is_genuine(heads.of_row(row), known):
            faults += 1
            yield bad(part, f"the signed end {row.seq} of {row.workspace_id} does not hold", "manage.py audit verify")
    with connection.cursor() as cursor:
        cursor.execute(_UNSIGNED, [LATE.total_seconds()])
        ((unsigned,),) = cursor.fetchall()
    if unsigned:
        todo = "Start the scheduler and a worker for upkeep; see their logs for what keeps heads from being written."
        yield warn(part, f"{unsigned} chains grew for longer than ten minutes without a signed end", todo)
    elif not faults:
        yield ok(part, f"the newest signed ends of {ends} chains hold (--audit checks every event)")


def _whole(part: str) -> Iterator[Finding]:
    told = Path(settings.AUDIT_HEADS_FILE)
    try:
        lines = told.read_text().splitlines() if told.is_file() else []
        found = verifying.verify(told=heads.read(lines))
    except (DomainError, OSError) as error:
        yield bad(part, str(error), f"Look at {told}.")
        return
    for fault in found.faults[:20]:
        yield bad(part, f"{fault.workspace_id}, seq {fault.seq}: {fault.text}", "docs/audit.md says what this means.")
    if found.ok:
        yield ok(part, f"all {found.rows} events are what was written, with {found.heads} signed ends")


def check_memory(wanted: Wanted) -> Iterator[Finding]:
    """Whether vectors can be made, and images kept."""
    state = embedders.current().state()
    if state == embedders.READY:
        yield ok("memory", f"embedder {embedders.current().name} is ready")
    else:
        yield warn("memory", f"recall goes by words alone: {state}", "docs/memory.md has the choices.")
    storage = attachments.storage()
    try:
        storage.exists("doctor")
    except attachments.FAILURES as error:
        yield bad("images", f"their storage does not answer: {error}", "Mend ATTACHMENTS_DIR or ATTACHMENTS_S3_BUCKET.")
        return
    if settings.ATTACHMENTS_DIR.exists() and not os.access(settings.ATTACHMENTS_DIR, os.W_OK | os.X_OK):
        yield bad("images", f"{settings.ATTACHMENTS_DIR} cannot be written to", "Give it to the user of Countersign.")
        return
    yield ok("images", f"kept in {settings.ATTACHMENTS_S3_BUCKET or settings.ATTACHMENTS_DIR}")


def check_providers(wanted: Wanted) -> Iterator[Finding]:
    """Who answers; with `providers`, whether they do, by asking each for its models."""
    part = "providers"
    specs = [spec for spec in environment.providers() if not spec.offline]
    names = [f"{spec.name} (environment)" for spec in specs]
    own, sealed = _of_workspaces()
    for name in sealed:
        todo = "Set SEALING_KEYS to the keys that sealed it, or enter its key anew."
        yield bad(part, f"the key of {name} opens with no present key", todo)
    if not specs and not own:
        yield warn(part, "only the offline rehearsal answers", "Set a provider: docs/providers.md")
        return
    if not wanted.providers:
        yield ok(part, f"{len(specs) + len(own)} are set (--providers asks them)")
        return
    for name, spec in itertools.chain(zip(names, specs, strict=True), own):
        listed = listings.of(spec)
        if listed.error:
            yield bad(part, f"{name}: {listed.error}", "Check its key and address, and whether it is down.")
        else:
            yield ok(part, f"{name} answers, {len(listed.names)} models")


def _of_workspaces() -> tuple[list[tuple[str, ProviderSpec]], list[str]]:
    """The providers that workspaces set up, and the names of those whose keys cannot be opened."""
    found, sealed = [], []
    rows = Provider.objects.filter(enabled=True).exclude(kind=ProviderKind.REHEARSAL)
    rows = rows.select_related("workspace").defer("api_key").order_by("pk")
    for row in rows:
        name = f"{row.name} ({row.workspace.slug})"
        try:
            found.append((name, ProviderSpec(row.name, row.kind, row.base_url, row.api_key, guarded=row.guarded)))
        except SealBroken:
            sealed.append(name)
    return found, sealed
