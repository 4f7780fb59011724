"""What was said and what answers it: conversations, messages, runs."""

from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User, Workspace
from agents.models import Agent
from chat.querysets import ActionQuerySet, ConversationQuerySet, MessageQuerySet, RunQuerySet
from companions.models import Companion
from core import ids


class Conversation(models.Model):
    """What a person and a companion said; a session in the native dialect.

    That of an agent which works in the background has neither person nor companion, but `agent`.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="conversations")
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="conversations")
    companion = models.ForeignKey(Companion, null=True, on_delete=models.PROTECT, related_name="conversations")
    agent = models.ForeignKey(Agent, null=True, on_delete=models.PROTECT, related_name="background", db_index=False)
    title = models.CharField(max_length=200, blank=True)
    archived = models.BooleanField(default=False)
    last_seq = models.BigIntegerField(default=0, help_text="The last event number used by any of its runs.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects = ConversationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, companion__isnull=False, agent=None)
                | Q(user=None, companion=None, agent__isnull=False),
                name="a_conversation_has_a_person_or_an_agent",
            )
        ]
        indexes = [
            models.Index(fields=["workspace", "user", "-updated_at", "-id"], name="conversations_by_activity"),
            models.Index(fields=["agent", "-id"], condition=~Q(agent=None), name="conversations_of_agent"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)


class MessageRole(models.TextChoices):
    """Who speaks."""

    USER = "user", "User"
    ASSISTANT = "assistant", "Assistant"
    SYSTEM = "system", "System"
    TOOL = "tool", "Tool"


class Message(models.Model):
    """One entry of a conversation; written once, when it is whole."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    role = models.CharField(max_length=10, choices=MessageRole)
    content = models.TextField(blank=True)
    parts = models.JSONField(default=list, help_text="[{type: text | reasoning | tool_call | tool_result, …}].")
    model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=60, blank=True)
    usage = models.JSONField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    turn_at = models.DateTimeField(
        db_default=Now(), help_text="When the message that began this turn came: an answer stands behind its question."
    )

    objects = MessageQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["conversation", "turn_at", "created_at"], name="messages_of_conversation"),
            models.Index(fields=["workspace", "id"], name="messages_of_workspace"),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:60]}"


class RunState(models.TextChoices):
    """queued → running → waiting_approval → running → completed | failed | cancelled."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    WAITING_APPROVAL = "waiting_approval", "Waiting for approval"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


ENDED = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


class Run(models.Model):
    """One execution that answers a message.

    `active` is the conversation's turn: one run has it, from when it may start until it ended; others of the
    conversation stand in line as `queued` without it. `attempt` counts claims and fences a worker that slept past
    its lease. Event numbers of attempt n begin above `seq_base + (n - 1) * ATTEMPT_SEQS`, so that numbers only ever
    rise, whatever was lost; an attempt that goes on after a wait (`resumed`) numbers on from `seq`. `draft` is the
    answer so far, checkpointed with `seq`, the last event it covers. `steps` counts the model's turns that are done.
    """

    ATTEMPT_SEQS = 1_000_000

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="runs", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="runs", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="runs", db_index=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+", db_index=False)
    behind = models.ForeignKey(
        User,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="Who made its key or its hook or wrote its agent's task, and so countersigns none of it.",
    )
    # Not a foreign key: an answer goes only with its conversation, and the check would cost an index on every run.
    answer_id = models.UUIDField(null=True)
    state = models.CharField(max_length=20, choices=RunState, default=RunState.QUEUED)
    active = models.BooleanField(default=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    given_back = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts that a stopping worker gave back: they are no deaths."
    )
    resumed = models.BooleanField(default=False, help_text="It waited, and goes on where it stopped.")
    steps = models.PositiveSmallIntegerField(default=0)
    seq_base = models.BigIntegerField(default=0)
    seq = models.BigIntegerField(default=0)
    draft = models.JSONField(default=list, help_text="Parts of the answer so far.")
    companion_type = models.CharField(max_length=60)
    provider = models.CharField(max_length=60)
    model = models.CharField(max_length=200)
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(db_default=Now())
    cancel_requested_at = models.DateTimeField(null=True)
    usage = models.JSONField(null=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(active=True), name="one_active_run_per_conversation"
            ),
            models.CheckConstraint(
                condition=Q(active=False) | ~Q(state__in=["completed", "failed", "cancelled"]),
                name="an_ended_run_is_not_active",
            ),
        ]
        indexes = [
            models.Index(fields=["conversation", "id"], name="runs_of_conversation"),
            models.Index(fields=["workspace", "id"], name="runs_of_workspace"),
            models.Index(fields=["not_before"], condition=Q(state="queued", active=True), name="runs_ready"),
            # On the id, not on the lease, which is renewed every second: an indexed column would forbid HOT updates.
            models.Index(fields=["id"], condition=Q(state="running"), name="runs_running"),
            models.Index(fields=["message"], name="runs_by_message"),
        ]

    def __str__(self) -> str:
        return f"{self.state} run {self.id}"

    @property
    def ended(self) -> bool:
        """Whether the run came to its end, whichever."""
        return self.state in ENDED

    @property
    def said(self) -> str:
        """The text of the draft."""
        return "".join(part["text"] for part in self.draft if part["type"] == "text")

    @property
    def person_id(self) -> UUID | None:
        """The person on whose behalf it acts, who countersigns nothing of it."""
        return self.conversation.user_id or self.behind_id

    @property
    def waits(self) -> bool:
        """Whether it waits for people."""
        return self.state == RunState.WAITING_APPROVAL


class ActionState(models.TextChoices):
    """proposed → allowed | waiting → ready → executing → succeeded | failed | unknown | refused.

    `allowed` waits for the verdicts of the calls beside it. `unknown` waits for a person to say what happened.
    """

    PROPOSED = "proposed", "Proposed"
    ALLOWED = "allowed", "Allowed"
    WAITING = "waiting", "Waiting for approval"
    READY = "ready", "Ready"
    EXECUTING = "executing", "Executing"
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
    state = models.CharField(max_length=20, choices=ActionState, default=ActionState.PROPOSED)
    attempt = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(db_default=Now())
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
