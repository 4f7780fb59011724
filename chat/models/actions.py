"""What a run does: actions."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User, Workspace
from agents.models import Agent
from chat.models.conversations import Conversation
from chat.models.runs import Run
from chat.querysets import ActionQuerySet
from core import ids


class ActionState(models.TextChoices):
    """allowed | waiting → ready → executing → (delegated →) succeeded | failed | unknown | refused.

    What is tried again is `ready` once more. `allowed` waits for the verdicts of the calls beside it. `delegated` was
    handed to another agent, whose run ends it. `unknown` waits for a person to say what happened. A call of a tool of
    the client's is `awaited`, until the client brings what came of it, and never runs here.
    """

    ALLOWED = "allowed", "Allowed"
    WAITING = "waiting", "Waiting for approval"
    READY = "ready", "Ready"
    EXECUTING = "executing", "Executing"
    DELEGATED = "delegated", "Asked of another agent"
    AWAITED = "awaited", "Awaited from the client"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    UNKNOWN = "unknown", "Unknown"
    REFUSED = "refused", "Refused"


SETTLED = (ActionState.SUCCEEDED, ActionState.FAILED, ActionState.REFUSED)


class Action(models.Model):
    """A tool call's durable execution. Its id is the idempotency key that the tool is given, over all attempts.

    Decision and execution are two states: `executing` is committed before the effect. `attempt` fences a worker that
    slept past its lease; what it brings then is kept as `late_result`. It outlives its conversation.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="actions", db_index=False)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="actions", db_index=False)
    conversation = models.ForeignKey(
        Conversation, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="actions", db_index=False)
    person = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    companion_type = models.CharField(max_length=60, blank=True)
    step = models.PositiveSmallIntegerField()
    place = models.PositiveSmallIntegerField(help_text="In the model's order within the step.")
    call_id = models.CharField(max_length=64)
    tool = models.CharField(max_length=200)
    tool_version = models.CharField(max_length=64)
    risk = models.CharField(max_length=20)
    retry = models.CharField(max_length=20, help_text="idempotent, keyed or unknown.")
    arguments = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    policy_version = models.PositiveIntegerField(default=0)
    policy_name = models.CharField(max_length=200, blank=True)
    verdict = models.CharField(max_length=10, help_text="allow, ask or deny.")
    approval_id = models.UUIDField(null=True)
    grant_id = models.UUIDField(null=True)
    state = models.CharField(max_length=20, choices=ActionState)
    attempt = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(db_default=Now())
    client = models.BooleanField(db_default=False, default=False, help_text="The client makes the call, not we.")
    perhaps = models.BooleanField(default=False, help_text="An attempt may have had its effect; nobody knows.")
    code = models.CharField(max_length=60, blank=True, help_text="Why it failed or was refused.")
    result = models.TextField(blank=True, help_text="What the model is told.")
    summary = models.CharField(max_length=300, blank=True)
    late_result = models.TextField(blank=True)
    resolved_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    resolution = models.CharField(max_length=20, blank=True, help_text="done, not_done or abandoned.")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = ActionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "call_id"], name="one_action_per_call")]
        indexes = [
            models.Index(fields=["not_before"], condition=Q(state="ready"), name="actions_ready"),
            models.Index(fields=["id"], condition=Q(state="executing"), name="actions_executing"),
            models.Index(fields=["created_at"], condition=Q(state="awaited"), name="actions_awaited"),
            models.Index(fields=["workspace", "-id"], condition=Q(state="unknown"), name="actions_unknown"),
            models.Index(fields=["workspace", "-id"], name="actions_of_workspace"),
            models.Index(fields=["workspace", "tool", "-id"], name="actions_by_tool"),
        ]

    def __str__(self) -> str:
        return f"{self.tool} ({self.state})"

    @property
    def settled(self) -> bool:
        """Whether its outcome is known."""
        return self.state in SETTLED
