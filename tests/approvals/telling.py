"""What tests of deliveries begin with: an endpoint on this machine, and something to tell."""

from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Workspace
from approvals.models import OutboxItem, WebhookEndpoint
from approvals.services import outbox, webhooks
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
        outbox.put(workspace.pk, type, told(**payload), emails=emails)


def due_now() -> None:
    """Let the time pass until everything that waits is due."""
    WebhookEndpoint.objects.update(paused_until=None)
    OutboxItem.objects.filter(done_at=None, failed_at=None).update(not_before=Now(), claimed_until=None)
