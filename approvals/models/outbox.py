"""What is told outside."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Workspace
from approvals.models.notifications import NotificationChannel
from approvals.querysets import OwnedQuerySet
from core import ids
from core.sealed import SealedTextField


class WebhookEndpoint(models.Model):
    """Where a workspace wants to be told, by webhooks signed as Standard Webhooks has it."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.OneToOneField(Workspace, on_delete=models.CASCADE, related_name="webhook")
    url = models.URLField(max_length=500)
    secret = SealedTextField()
    events = models.JSONField(default=list, blank=True, help_text="Which events; empty: all.")
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    failing_since = models.DateTimeField(null=True, help_text="Since then no delivery has succeeded.")
    paused_until = models.DateTimeField(null=True, help_text="After a failure it is left alone for a moment.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["WebhookEndpoint"].as_manager()

    def __str__(self) -> str:
        return self.url


class OutboxItem(models.Model):
    """Something that must be told outside, stored with the change that it tells of and delivered by a worker."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    topic = models.CharField(max_length=20, help_text="webhook, email or channel.")
    type = models.CharField(max_length=60, help_text="The event, such as approval.requested.")
    target = models.CharField(
        max_length=500, blank=True, help_text="An e-mail address, or a channel's name; empty: the webhook endpoint."
    )
    # The row outlives its channel: that something was sent is told for as long as of everything else.
    channel = models.ForeignKey(
        NotificationChannel,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    payload = models.JSONField(default=dict)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(db_default=Now())
    claimed_until = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = OwnedQuerySet["OutboxItem"].as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["not_before"], condition=Q(done_at=None, failed_at=None), name="outbox_open"),
            models.Index(fields=["workspace", "topic", "-id"], name="outbox_of_workspace"),
        ]
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.type} to {self.target or 'the webhook'}"
