"""Who is told, by which way and when: channels of a workspace, what a person prefers, and what is held for later."""

import datetime

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, User, Workspace
from approvals.querysets import OwnedQuerySet
from core import ids
from core.sealed import SealedTextField


class ChannelKind(models.TextChoices):
    """What takes the messages, and so how they are written."""

    SLACK = "slack", "Slack"
    TEAMS = "teams", "Microsoft Teams"


class NotificationChannel(models.Model):
    """Where people of a workspace read together: an incoming webhook, whose address is as good as a password."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="channels")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=ChannelKind)
    url = SealedTextField("Address")
    shown = models.CharField("address", max_length=300, help_text="Its host and its last four characters.")
    events = models.JSONField(default=list, blank=True, help_text="Which events; empty: all.")
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    failing_since = models.DateTimeField(null=True, help_text="Since then no delivery has succeeded.")
    paused_until = models.DateTimeField(null=True, help_text="After a failure it is left alone for a moment.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["NotificationChannel"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_channel_per_name")]
        verbose_name = "channel"

    def __str__(self) -> str:
        return self.name


class NotificationPreference(models.Model):
    """What a member wants to be told; whoever has no row here has the defaults of `approvals/preferences.py`."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    membership = models.OneToOneField(Membership, on_delete=models.CASCADE, related_name="notifications")
    events = models.JSONField(default=dict, help_text="Of each event, by which way and when.")
    time_zone = models.CharField(max_length=64, default="UTC")
    daily_at = models.TimeField(default=datetime.time(8))
    quiet_from = models.TimeField(null=True)
    quiet_until = models.TimeField(null=True)
    urgent_at_once = models.BooleanField(default=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None)
                | (Q(quiet_from__isnull=False, quiet_until__isnull=False) & ~Q(quiet_from=models.F("quiet_until"))),
                name="quiet_hours_begin_and_end",
            )
        ]

    def __str__(self) -> str:
        return f"of {self.membership_id}"


class HeldNotice(models.Model):
    """Something that a member is told later: with others that are due then, in one e-mail."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="held_notices")
    event = models.CharField(max_length=40, help_text="What the person chose by, such as approval.waiting.")
    type = models.CharField(max_length=60, help_text="What happened, such as approval.requested.")
    approval_id = models.UUIDField(null=True, help_text="The request that waits for them, if it is about one.")
    payload = models.JSONField(default=dict)
    due_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["membership", "event", "approval_id"],
                condition=Q(approval_id__isnull=False),
                name="one_held_notice_per_request",
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="held_notices_due"),
            models.Index(fields=["approval_id"], condition=Q(approval_id__isnull=False), name="held_notices_about"),
        ]

    def __str__(self) -> str:
        return f"{self.type} for {self.membership_id}"


class SignInPlace(models.Model):
    """A network from which a person signed in, as a keyed hash: the next sign-in from there is nothing new."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    place = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "place"], name="one_place_per_person")]

    def __str__(self) -> str:
        return f"of {self.user_id}"
