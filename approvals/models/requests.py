"""Who was asked, what they said, and for how long that is remembered."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User, Workspace
from approvals.models.policies import Risk
from approvals.querysets import ApprovalQuerySet, OwnedQuerySet
from core import ids


class ApprovalStatus(models.TextChoices):
    """pending → approved | rejected | expired | cancelled | superseded; none of the last five is ever left."""

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"
    CANCELLED = "cancelled", "Cancelled"
    SUPERSEDED = "superseded", "Superseded"


class Decision(models.TextChoices):
    """What an approver says."""

    APPROVE = "approve", "Approve"
    REJECT = "reject", "Reject"
    RESPOND = "respond", "Respond"


class Approval(models.Model):
    """The request that something be countersigned, with exactly what was shown and how it was decided.

    `kind` and `subject_id` name what it is about in the app that owns it (approvals/kinds.py). `terms` is the policy's
    Ask as it was when the request was made. `digest` is over what will run. An approval that is decided by `respond`
    is approved with `response` in place of the tool's result, and nothing runs.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="approvals", db_index=False)
    kind = models.CharField(max_length=40)
    subject_id = models.UUIDField()
    run_id = models.UUIDField(null=True)
    session_id = models.UUIDField(null=True)
    call_id = models.CharField(max_length=64, blank=True)
    agent_id = models.UUIDField(null=True)
    agent = models.CharField(max_length=60, blank=True, help_text="The agent's slug.")
    companion = models.CharField(max_length=60, blank=True, help_text="The companion's type.")
    requested_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="approvals_requested")
    behind = models.ForeignKey(
        User,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="Who made the key that it was requested by, where that is another person: they decide it neither.",
    )
    behind_ids = ArrayField(
        models.UUIDField(),
        default=list,
        db_default=[],
        help_text="Who wrote what the agent was told, as far as that is what asked: they decide it neither.",
    )
    author_ids = ArrayField(
        models.UUIDField(),
        default=list,
        db_default=[],
        help_text="Who wrote what a person's agent was told: they decide it while they are admins.",
    )
    tool = models.CharField(max_length=200)
    tool_version = models.CharField(max_length=64)
    risk = models.CharField(max_length=20, choices=Risk)
    risk_rank = models.PositiveSmallIntegerField(default=0, help_text="The risk as a number, the gravest highest.")
    arguments = models.JSONField(default=dict)
    proposed_arguments = models.JSONField(null=True, help_text="What the agent asked for, where an approver edited it.")
    digest = models.CharField(max_length=64)
    preview = models.JSONField(default=dict)
    policy_version = models.PositiveIntegerField(default=0)
    policy_name = models.CharField(max_length=200, blank=True)
    terms = models.JSONField(default=dict)
    status = models.CharField(max_length=20, choices=ApprovalStatus, default=ApprovalStatus.PENDING)
    version = models.PositiveIntegerField(default=1, help_text="Rises with each edit.")
    decision = models.CharField(max_length=10, choices=Decision, blank=True)
    decided_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="approvals_decided")
    reason = models.TextField(blank=True)
    response = models.TextField(blank=True)
    break_glass = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    escalates_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    reminds_at = models.DateTimeField(null=True, help_text="When those who have not decided are reminded, once.")
    decided_at = models.DateTimeField(null=True)
    valid_until = models.DateTimeField(null=True, help_text="Until when what was approved may start.")

    agent_name = ""  # what people call them, of rows that were asked for by `named()`
    companion_name = ""
    workspace_name = ""

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status="pending", decided_at=None) | (~Q(status="pending") & ~Q(decided_at=None)),
                name="a_decided_approval_has_its_time",
            )
        ]
        indexes = [
            models.Index(
                fields=["workspace", "-risk_rank", "expires_at", "id"],
                condition=Q(status="pending"),
                name="approvals_pending",
            ),
            models.Index(fields=["workspace", "-id"], name="approvals_of_workspace"),
            models.Index(fields=["workspace", "status", "-id"], name="approvals_by_status"),
            models.Index(fields=["workspace", "tool", "-id"], name="approvals_by_tool"),
            models.Index(fields=["workspace", "agent", "-id"], name="approvals_by_agent"),
            models.Index(fields=["workspace", "risk", "-id"], name="approvals_by_risk"),
            models.Index(fields=["workspace", "requested_by", "-id"], name="approvals_of_person"),
            models.Index(
                fields=["workspace", "-decided_at", "-id"], condition=~Q(status="pending"), name="approvals_ended"
            ),
            models.Index(fields=["expires_at"], condition=Q(status="pending"), name="approvals_expiring"),
            models.Index(
                fields=["escalates_at"],
                condition=Q(status="pending", escalated_at=None) & ~Q(escalates_at=None),
                name="approvals_escalating",
            ),
            models.Index(
                fields=["reminds_at"],
                condition=Q(status="pending") & ~Q(reminds_at=None),
                name="approvals_reminding",
            ),
            models.Index(fields=["subject_id"], name="approvals_by_subject"),
            models.Index(fields=["run_id"], name="approvals_of_run"),
            models.Index(fields=["session_id", "-id"], name="approvals_of_session"),
        ]

    def __str__(self) -> str:
        return f"{self.tool} ({self.status})"


class Vote(models.Model):
    """What one person said to a request; void once the arguments were edited after it."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="votes")
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="votes")
    decision = models.CharField(max_length=10, choices=Decision)
    digest = models.CharField(max_length=64, help_text="Of what was shown.")
    reason = models.TextField(blank=True)
    void = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["approval", "user"], condition=Q(void=False), name="one_vote_per_person")
        ]

    def __str__(self) -> str:
        return f"{self.decision} by {self.user_id}"


class Grant(models.Model):
    """An approval that is remembered: the same tool with the same arguments, in one conversation, for a while."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="grants", db_index=False)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="grants")
    session_id = models.UUIDField()
    tool = models.CharField(max_length=200)
    tool_version = models.CharField(max_length=64)
    arguments = models.JSONField(default=dict, help_text="The arguments that must be equal; others are free.")
    uses_left = models.PositiveSmallIntegerField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = OwnedQuerySet["Grant"].as_manager()

    class Meta:
        indexes = [models.Index(fields=["workspace", "session_id", "tool"], name="grants_of_session")]
        verbose_name = "remembered approval"
        verbose_name_plural = "remembered"

    def __str__(self) -> str:
        return f"{self.tool}, {self.uses_left} times"
