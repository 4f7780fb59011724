"""The webhook of a workspace: where it is told, how that is changed, and what its failures come to."""

import base64
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from accounts.models import Actor
from accounts.permissions import RoleMissing
from approvals.models import OutboxItem, WebhookEndpoint
from approvals.querysets import READERS
from approvals.services import audit
from core import guarded
from core.sealed import Secret

EVENTS = ("approval.requested", "approval.decided", "approval.expired", "action.finished")
PAUSE = timedelta(minutes=1)  # the longest that one failure keeps the deliveries after it waiting
PATIENCE = timedelta(days=5)  # of nothing but failures, after which the webhook is switched off
SECRET_BYTES = 24
GONE = "The receiver answered 410 Gone."
FAILING = f"Nothing could be delivered for {PATIENCE.days} days."


def new_secret() -> Secret:
    """A signing secret as Standard Webhooks writes them."""
    return Secret("whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def wanted(workspace_id: UUID, type: str) -> bool:
    """Whether the workspace's webhook is on and wants events of this type."""
    wants = Q(events=[]) | Q(events__contains=[type])
    return WebhookEndpoint.objects.filter(wants, workspace_id=workspace_id, enabled=True).exists()


def current(*, by: Actor) -> WebhookEndpoint | None:
    """The webhook of the caller's workspace, without its secret; raises RoleMissing for whoever is no admin."""
    _admit(by)
    return WebhookEndpoint.objects.filter(workspace=by.workspace).defer("secret").first()


def configure(
    *, by: Actor, url: str, events: Sequence[str] = (), enabled: bool = True, rotate_secret: bool = False
) -> tuple[WebhookEndpoint, Secret | None]:
    """Set the workspace's webhook and switch it on or off; the secret is given where a new one was made.

    No events stand for all of them. Raises RoleMissing, or UrlRefused where the address is not public.
    """
    _admit(by)
    try:
        guarded.check(url, private=settings.WEBHOOK_PRIVATE_ADDRESSES)
    except guarded.UrlRefused as error:
        raise guarded.UrlRefused.field("url", error.detail, error.code) from None
    secret = new_secret()
    with transaction.atomic():
        endpoint, created = WebhookEndpoint.objects.select_for_update().get_or_create(
            workspace=by.workspace, defaults={"url": url, "secret": secret}
        )
        before = None if created else _told(endpoint)
        endpoint.url, endpoint.events, endpoint.enabled = url, sorted(set(events)), enabled
        endpoint.disabled_reason, endpoint.failing_since, endpoint.paused_until = "", None, None
        made = secret if created or rotate_secret else None
        if made:
            endpoint.secret = made
        endpoint.save()
        after = {**_told(endpoint), "new_secret": made is not None}
        _record(endpoint, audit.person(by), before=before, after=after)
    return endpoint, made


def note(workspace_id: UUID, *, ok: bool, gone: bool, delay: timedelta | None) -> None:
    """Keep how the webhook does: it rests for a moment after a failure, and is switched off where none succeeds."""
    rows = WebhookEndpoint.objects.filter(workspace_id=workspace_id)
    if ok:
        rows.exclude(failing_since=None, paused_until=None).update(failing_since=None, paused_until=None)
        return
    pause = min(delay, PAUSE) if delay else PAUSE
    rows.update(failing_since=Coalesce(F("failing_since"), Now()), paused_until=Now() + pause)
    failing = rows.filter(enabled=True) if gone else rows.filter(enabled=True, failing_since__lte=Now() - PATIENCE)
    reason = GONE if gone else FAILING
    if failing.update(enabled=False, disabled_reason=reason):
        _record(rows.defer("secret").get(), audit.SYSTEM, after={"enabled": False, "reason": reason})


def deliveries(*, by: Actor, limit: int, before: UUID | None = None) -> tuple[list[OutboxItem], UUID | None]:
    """What was sent to the webhook or is to be, the newest first, below the id; and where the next page begins.

    Raises RoleMissing for whoever is neither manager, auditor nor admin.
    """
    if not by.may(*READERS):
        raise RoleMissing
    rows = OutboxItem.objects.visible_to(by).filter(topic="webhook").order_by("-pk").defer("payload")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: limit + 1])
    return found[:limit], found[limit - 1].pk if len(found) > limit else None


def _admit(by: Actor) -> None:
    if not by.may():
        raise RoleMissing


def _told(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """What the audit log says of it: the host alone, for the path of many receivers is as good as a password."""
    return {"host": urlsplit(endpoint.url).hostname, "events": endpoint.events, "enabled": endpoint.enabled}


def _record(endpoint: WebhookEndpoint, who: audit.Who, **data: Any) -> None:
    audit.record(
        audit.Entry(
            type="webhook.changed",
            workspace_id=endpoint.workspace_id,
            who=who,
            target=("webhook", endpoint.pk),
            data=data,
        )
    )
