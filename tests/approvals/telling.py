"""What tests of deliveries begin with: an endpoint on this machine, and something to tell."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import Actor, Workspace
from approvals.models import HeldNotice, NotificationChannel, NotificationPreference, OutboxItem, WebhookEndpoint
from approvals.services import notices, outbox, posting, webhooks
from core import ids

TYPE = "approval.requested"


def told(**more: Any) -> dict[str, Any]:
    """The payload of a request, as approvals tell of it."""
    approval_id = str(ids.new())
    return {
        "id": approval_id,
        "approval_id": approval_id,
        "status": "pending",
        "decision": None,
        "decided_by": None,
        "decided_at": None,
        "reason": "",
        "tool": "service_restart",
        "risk": "destructive",
        "agent": "devops",
        "companion": "devops",
        "workspace": "Home",
        "requested_by": {"id": str(ids.new()), "name": "Mia"},
        "summary": "Restart the service billing.",
        "expires_at": "2026-01-06T09:00:00Z",
        "break_glass": False,
        **more,
    }


def endpoint(workspace: Workspace, url: str, **options: Any) -> WebhookEndpoint:
    """A webhook of the workspace that is on."""
    return WebhookEndpoint.objects.create(workspace=workspace, url=url, secret=webhooks.new_secret(), **options)


def put(workspace: Workspace, type: str = TYPE, *, emails: tuple[str, ...] = (), **payload: Any) -> None:
    """Something to tell, in a transaction of its own."""
    with transaction.atomic():
        outbox.put(workspace.pk, type, told(**payload))
        posting.post([notices.email(workspace.pk, type, told(**payload), address) for address in emails])


def due_now() -> None:
    """Let the time pass until everything that waits is due."""
    WebhookEndpoint.objects.update(paused_until=None)
    NotificationChannel.objects.update(paused_until=None)
    OutboxItem.objects.filter(done_at=None, failed_at=None).update(not_before=Now(), claimed_until=None)


def wants(actor: Actor, **said: Any) -> None:
    """Set what a member wants to be told."""
    NotificationPreference.objects.update_or_create(membership=actor.membership, defaults=said)


def every(event: str, when: str, by: str = "email") -> dict[str, Any]:
    """The wish for one event."""
    return {"events": {event: {"by": by, "when": when}}}


def mails(type: str = "") -> list[str]:
    """Who is told by e-mail."""
    rows = OutboxItem.objects.filter(topic="email", **({"type": type} if type else {}))
    return sorted(rows.values_list("target", flat=True))


def come_due() -> None:
    """Let the time pass until everything that is held is due."""
    HeldNotice.objects.update(due_at=F("due_at") - timedelta(days=2))
