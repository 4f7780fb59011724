"""Deliveries to a workspace's webhook that somebody asks for: a test, and one that failed once more."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Actor
from accounts.permissions import RoleMissing
from approvals.models import OutboxItem, WebhookEndpoint
from approvals.querysets import READERS
from approvals.services import audit, posting
from approvals.services.webhooks import NoWebhook
from core import queue
from core.errors import Conflict, NotFound

TEST = "webhook.test"
"""The type of a delivery that tells of nothing; it comes whatever events the webhook wants."""

_ring = queue.doorbell(posting.DELIVER)


class UnknownDelivery(NotFound):
    """No delivery of the caller's workspace has this id."""

    code = "unknown_delivery"
    title = "There is no such delivery"
    default_detail = "It may be gone: deliveries are kept for 30 days."


class NotToRetry(Conflict):
    """It was delivered, or is being delivered just now."""

    code = "not_to_retry"
    default_detail = "It was delivered, or is being delivered just now. Look again in a minute."


def find(delivery_id: UUID | str, *, by: Actor) -> OutboxItem:
    """A delivery to the webhook of the caller's workspace; raises RoleMissing or UnknownDelivery."""
    if not by.may(*READERS):
        raise RoleMissing
    found = OutboxItem.objects.visible_to(by).filter(pk=delivery_id, topic=posting.WEBHOOK).first()
    if found is None:
        raise UnknownDelivery
    return found


@transaction.atomic
def test(*, by: Actor) -> OutboxItem:
    """Send the webhook something that tells of nothing; raises RoleMissing or NoWebhook."""
    endpoint = _endpoint(by)
    payload: dict[str, Any] = {"test": True, "workspace": by.workspace.name, "sent_by": by.user.email}
    item = OutboxItem(workspace=by.workspace, topic=posting.WEBHOOK, type=TEST, payload=payload)
    _impatient(endpoint)
    posting.post([item])
    _tell(by, endpoint, item, "test")
    return item


@transaction.atomic
def retry(item: OutboxItem, *, by: Actor) -> None:
    """Send what was not delivered once more, now and under the same id.

    Raises RoleMissing, NoWebhook, or NotToRetry for what was delivered or is under way.
    """
    endpoint = _endpoint(by)
    free = Q(claimed_until=None) | Q(claimed_until__lte=Now())
    rows = OutboxItem.objects.filter(free, pk=item.pk, workspace=by.workspace, topic=posting.WEBHOOK, done_at=None)
    if not rows.update(failed_at=None, not_before=Now(), claimed_until=None):
        raise NotToRetry
    _impatient(endpoint)
    _ring(item.pk)
    _tell(by, endpoint, item, "retry")


def _endpoint(by: Actor) -> WebhookEndpoint:
    if not by.may():
        raise RoleMissing
    found = WebhookEndpoint.objects.filter(workspace=by.workspace, enabled=True).defer("secret").first()
    if found is None:
        raise NoWebhook
    return found


def _impatient(endpoint: WebhookEndpoint) -> None:
    """Whoever asks has looked at the receiver: it is not left alone any longer after its last failure."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(paused_until=None)


def _tell(by: Actor, endpoint: WebhookEndpoint, item: OutboxItem, why: str) -> None:
    audit.record(
        audit.Entry(
            type="webhook.resent",
            workspace_id=by.workspace.pk,
            who=audit.person(by),
            target=("webhook", endpoint.pk),
            data={"delivery": str(item.pk), "type": item.type, "why": why},
        )
    )
