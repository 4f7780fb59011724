"""What answers a message: runs."""

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User, Workspace
from agents.models import Agent
from chat.models.conversations import Conversation, Message
from chat.querysets import RunQuerySet
from core import ids


class RunState(models.TextChoices):
    """queued → running → (waiting_approval | waiting_tools → queued → running →) completed | failed | cancelled."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    WAITING_APPROVAL = "waiting_approval", "Waiting for approval"
    WAITING_TOOLS = "waiting_tools", "Waiting for its client"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class RunRole(models.TextChoices):
    """What an agent was asked for within another run; a run that was begun by itself has none."""

    MEMBER = "member", "Member of a team"
    VOTE = "vote", "Vote"
    SUMMARY = "summary", "Summary"
    DELEGATE = "delegate", "Asked by an agent"


ENDED = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)
WAITING = (RunState.WAITING_APPROVAL, RunState.WAITING_TOOLS)
"""No worker has it. One that waits for both is `waiting_tools`: its client has something to do."""


class Run(models.Model):
    """One execution that answers a message.

    `active` is the conversation's turn: one run has it, from when it may start until it ended; others of the
    conversation stand in line as `queued` without it. `attempt` counts claims and fences a worker that slept past
    its lease. Event numbers of attempt n begin above `seq_base + (n - 1) * ATTEMPT_SEQS`, so that numbers only ever
    rise, whatever was lost; an attempt that goes on after a wait (`resumed`) numbers on from `seq`. `draft` is the
    answer so far, checkpointed with `seq`, the last event it covers. `steps` counts the model's turns that are done.

    What an agent does within another run is a run of its own: `parent` is the one that asked for it, `root_id` the
    first of them, `place` what it answers there, so that an attempt which comes again finds it. A team's run has
    `team`: mode and members as they were when the message came, and how far its members were heard.

    `given` is what the client quoted and asked for beside the message. `client_tools` are the definitions that came
    with it: whoever sent it makes those calls.
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
    behind_ids = ArrayField(
        models.UUIDField(),
        default=list,
        db_default=[],
        help_text="Who else countersigns none of it, because they wrote what its agent is told.",
    )
    author_ids = ArrayField(
        models.UUIDField(),
        default=list,
        db_default=[],
        help_text="Whose words stood in the persona that it was told: admins among them may countersign.",
    )
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children", db_index=False)
    # Not a foreign key either: it goes with its parent.
    root_id = models.UUIDField(null=True)
    depth = models.PositiveSmallIntegerField(db_default=0, help_text="How many runs stand above it.")
    place = models.CharField(max_length=80, blank=True, db_default="")
    role = models.CharField(max_length=10, choices=RunRole, blank=True, db_default="")
    agent_version = models.PositiveIntegerField(db_default=0, help_text="That it keeps; 0: as the agent is now.")
    team = models.JSONField(null=True)
    client_tools = models.JSONField(null=True)
    given = models.JSONField(
        null=True, help_text="What its client gave with the message, until it ends: see `services/quoting.py`."
    )
    # Not a foreign key: an answer goes only with its question or conversation; the check would cost an index on runs.
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
    mood = models.CharField(max_length=10, blank=True, help_text="As the message said; empty: as the companion has it.")
    web = models.BooleanField(default=False, db_default=False, help_text="Its person wants the web to be looked at.")
    provider = models.CharField(max_length=60)
    model = models.CharField(max_length=200)
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(db_default=Now())
    cancel_requested_at = models.DateTimeField(null=True)
    memories = models.JSONField(null=True, help_text="The memories that its model was told, by id; null: none yet.")
    usage = models.JSONField(null=True, help_text="As far as providers told of it.")
    spent = models.JSONField(null=True, help_text="By provider, model and key, what no provider told among it.")
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
            models.UniqueConstraint(fields=["parent", "place"], condition=~Q(parent=None), name="one_run_per_place"),
        ]
        indexes = [
            models.Index(fields=["conversation", "id"], name="runs_of_conversation"),
            models.Index(fields=["workspace", "id"], name="runs_of_workspace"),
            models.Index(fields=["not_before"], condition=Q(state="queued", active=True), name="runs_ready"),
            # On the id, not on the lease, which is renewed every second: an indexed column would forbid HOT updates.
            models.Index(fields=["id"], condition=Q(state="running"), name="runs_running"),
            models.Index(fields=["message"], name="runs_by_message"),
            models.Index(fields=["parent"], condition=~Q(parent=None) & Q(ended_at=None), name="runs_below"),
            models.Index(fields=["root_id"], condition=~Q(root_id=None), name="runs_of_root"),
            models.Index(fields=["id"], condition=Q(ended_at=None) & ~Q(cancel_requested_at=None), name="runs_to_stop"),
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
        """Whether it waits for people, or for its client."""
        return self.state in WAITING
