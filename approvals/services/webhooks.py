"""The webhook of a workspace: where it is told, how that is changed, and what its failures come to."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.models import Actor
from accounts.permissions import RoleMissing
from approvals.models import OutboxItem, WebhookEndpoint
from approvals.querysets import READERS
from approvals.services import audit, notices, patience
from core import guarded
from core.errors import Conflict
from core.sealed import Secret

EVENTS = ("approval.requested", "approval.decided", "approval.expired", "action.finished")
SECRET_BYTES = 24


class NoWebhook(Conflict):
    """The workspace has no webhook that this could be done with."""

    code = "no_webhook"
    default_detail = "There is no webhook that is on. Set its address and switch it on first."


def new_secret() -> Secret:
    """A signing secret as Standard Webhooks writes them."""
    return Secret("whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def wanted(workspace_id: UUID, type: str) -> bool:
    """Whether the workspace's webhook is on and wants events of this type."""
    if type not in EVENTS:
        return False
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


@transaction.atomic
def rotate(*, by: Actor) -> Secret:
    """A new signing secret, which takes the place of the old one at once; all else of the webhook stays.

    Raises RoleMissing, or NoWebhook where the workspace has none.
    """
    _admit(by)
    endpoint = WebhookEndpoint.objects.select_for_update().filter(workspace=by.workspace).defer("secret").first()
    if endpoint is None:
        raise NoWebhook
    made = endpoint.secret = new_secret()
    endpoint.save(update_fields=["secret", "updated_at"])
    told = _told(endpoint)
    _record(endpoint, audit.person(by), before=told, after={**told, "new_secret": True})
    return made


def note(workspace_id: UUID, *, set_at: datetime, ok: bool, gone: bool, delay: timedelta | None) -> None:
    """Keep how the webhook does, in the transaction at hand; admins are told where its failures switch it off."""
    endpoints = WebhookEndpoint.objects.filter(workspace_id=workspace_id, updated_at=set_at)  # else it was another
    if reason := patience.note(endpoints, ok=ok, gone=gone, delay=delay):
        endpoint = endpoints.select_related("workspace").defer("secret").get()
        _record(endpoint, audit.SYSTEM, after={"enabled": False, "reason": reason})
        about = {"name": "The webhook", "address": urlsplit(endpoint.url).hostname, "reason": reason}
        notices.alarm(workspace_id, {**about, "workspace": endpoint.workspace.name})


def deliveries(
    *, by: Actor, limit: int, before: UUID | None = None, type: str = ""
) -> tuple[list[OutboxItem], UUID | None]:
    """What was sent to the webhook or is to be, the newest first, below the id; and where the next page begins.

    With `type`, of these the events of that type. Raises RoleMissing for whoever is neither manager, auditor nor admin.
    """
    if not by.may(*READERS):
        raise RoleMissing
    rows = OutboxItem.objects.visible_to(by).filter(topic="webhook").order_by("-pk").defer("payload")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    if type:
        rows = rows.filter(type=type)
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
