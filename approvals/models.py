"""What may be done, who was asked, what they said, and the log that proves it."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Group, User, Workspace
from approvals.querysets import ApprovalQuerySet, AuditEventQuerySet, OwnedQuerySet
from core import ids
from core.sealed import SealedTextField


class Risk(models.TextChoices):
    """What a tool can do, from the harmless to what cannot be taken back."""

    READ = "read", "Read"
    WRITE = "write", "Write"
    EXTERNAL = "external", "External"
    DESTRUCTIVE = "destructive", "Destructive"


class Effect(models.TextChoices):
    """What a policy says of the calls that it matches. Deny wins, then ask, then allow."""

    ALLOW = "allow", "Allow"
    ASK = "ask", "Ask"
    DENY = "deny", "Deny"


def _managers() -> list[str]:
    return ["manager"]


class Policy(models.Model):
    """A rule of a workspace. What it says holds from the PolicyVersion on that its change makes."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="policies")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    priority = models.PositiveSmallIntegerField(
        default=100, help_text="Of several rules that ask, the one with the lowest number says whom and how."
    )
    tool = models.CharField(max_length=200, default="*", help_text="A tool's name; * stands for anything.")
    agent = models.CharField(max_length=200, default="*", help_text="An agent's slug; * stands for anything.")
    companion = models.CharField(max_length=200, default="*", help_text="A companion's type; * stands for anything.")
    risks = models.JSONField(default=list, blank=True, help_text="read, write, external, destructive; empty: all.")
    tiers = models.JSONField(default=list, blank=True, help_text="Tiers of the workspace; empty: all.")
    condition = models.TextField(
        blank=True,
        help_text="CEL over `args`, `person`, `tool`, `risk`, `agent`, `companion`; empty: always. One that errs asks.",
    )
    effect = models.CharField(max_length=10, choices=Effect, default=Effect.ASK)
    covers_advisors = models.BooleanField(
        default=False, help_text="What this rule allows runs for agents of autonomy `advisor` too."
    )
    quorum_approve = models.PositiveSmallIntegerField(default=1)
    quorum_reject = models.PositiveSmallIntegerField(default=1)
    approver_roles = models.JSONField(default=_managers, blank=True)
    approver_groups = models.ManyToManyField(Group, blank=True, related_name="+")
    approver_people = models.ManyToManyField(User, blank=True, related_name="+")
    escalate_after = models.DurationField(
        null=True, blank=True, help_text="Without a decision by then, others may too."
    )
    escalate_to = models.ForeignKey(Group, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    request_lasts = models.DurationField(default=timedelta(hours=24))
    approval_lasts = models.DurationField(default=timedelta(hours=1), help_text="From the approval to the start.")
    editable = models.BooleanField(default=True, help_text="Whether approvers may edit the arguments.")
    fresh_password = models.BooleanField(default=False, help_text="Deciding needs the password, typed again.")
    digest_required = models.BooleanField(default=False, help_text="Decisions by API must name the digest shown.")
    may_remember = models.BooleanField(default=False, help_text="An approval may cover the same call for a while.")
    most_per_run = models.PositiveSmallIntegerField(default=10, help_text="Requests that one run may make.")
    valid_until = models.DateTimeField(null=True, blank=True, help_text="The rule ends by itself then.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["Policy"].as_manager()

    class Meta:
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_policy_per_name")]

    def __str__(self) -> str:
        return self.name


class PolicyVersion(models.Model):
    """All rules of a workspace as they stood from a moment on; what a digest and a decision refer to."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="policy_versions")
    version = models.PositiveIntegerField()
    rules = models.JSONField(default=list)
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = OwnedQuerySet["PolicyVersion"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "version"], name="one_policy_version")]

    def __str__(self) -> str:
        return f"version {self.version}"


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
    decided_at = models.DateTimeField(null=True)
    valid_until = models.DateTimeField(null=True, help_text="Until when what was approved may start.")

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
            models.Index(fields=["workspace", "requested_by", "-id"], name="approvals_of_person"),
            models.Index(fields=["expires_at"], condition=Q(status="pending"), name="approvals_expiring"),
            models.Index(
                fields=["escalates_at"],
                condition=Q(status="pending", escalated_at=None) & ~Q(escalates_at=None),
                name="approvals_escalating",
            ),
            models.Index(fields=["subject_id"], name="approvals_by_subject"),
            models.Index(fields=["run_id"], name="approvals_of_run"),
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

    def __str__(self) -> str:
        return f"{self.tool}, {self.uses_left} times"


class ActorKind(models.TextChoices):
    """Who did what an audit event tells of."""

    PERSON = "person", "Person"
    AGENT = "agent", "Agent"
    SYSTEM = "system", "System"


class AuditEvent(models.Model):
    """One row of the audit log; never changed, never deleted (triggers see to it).

    What may have to be erased stands in its payload; `commitment` is SHA-256 over the payload's salt and text, so that
    the chain holds without it. The workspace is no constraint: its log outlives it.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    type = models.CharField(max_length=60)
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor_id = models.UUIDField(null=True)
    person_id = models.UUIDField(null=True, help_text="On whose behalf; a person's own.")
    agent_id = models.UUIDField(null=True)
    session_id = models.UUIDField(null=True)
    target_kind = models.CharField(max_length=30, blank=True)
    target_id = models.UUIDField(null=True)
    at = models.DateTimeField(help_text="When, by the database's clock.")
    commitment = models.BinaryField(max_length=32)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "-id"], name="audit_of_workspace"),
            models.Index(fields=["workspace", "type", "-id"], name="audit_by_type"),
            models.Index(fields=["workspace", "actor_id", "-id"], name="audit_by_actor"),
            models.Index(
                fields=["workspace", "person_id", "-id"], condition=~Q(person_id=None), name="audit_of_person"
            ),
            models.Index(
                fields=["workspace", "session_id", "-id"], condition=~Q(session_id=None), name="audit_of_session"
            ),
            models.Index(fields=["workspace", "agent_id", "-id"], condition=~Q(agent_id=None), name="audit_of_agent"),
            models.Index(fields=["target_id"], name="audit_of_target"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class AuditPayload(models.Model):
    """What an event tells in full, as canonical JSON; gone once it was erased."""

    event = models.OneToOneField(
        AuditEvent, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="payload"
    )
    salt = models.BinaryField(max_length=16)
    data = models.TextField()

    def __str__(self) -> str:
        return str(self.event_id)


class AuditUnsealed(models.Model):
    """An event that has no place in the chain yet: inserted with it, deleted with its sealing."""

    pk = models.CompositePrimaryKey("workspace_id", "event_id")
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    event = models.ForeignKey(
        AuditEvent, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    def __str__(self) -> str:
        return str(self.event_id)


class AuditSeal(models.Model):
    """An event's place in its workspace's chain: `hash` is over the hash before it, `seq`, the event and commitment."""

    event = models.OneToOneField(
        AuditEvent, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="seal"
    )
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    seq = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "seq"], name="one_seal_per_place")]

    def __str__(self) -> str:
        return f"{self.seq} of {self.workspace_id}"


class AuditHead(models.Model):
    """The chain's end at a moment, signed (Ed25519); the copy outside of the database is what proves a cut tail."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    seq = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)
    signed_at = models.DateTimeField()
    key_id = models.CharField(max_length=16)
    signature = models.BinaryField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "seq"], name="one_head_per_place")]

    def __str__(self) -> str:
        return f"head {self.seq} of {self.workspace_id}"


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
    topic = models.CharField(max_length=20, help_text="webhook or email.")
    type = models.CharField(max_length=60, help_text="The event, such as approval.requested.")
    target = models.CharField(max_length=500, blank=True, help_text="An e-mail address; empty: the webhook endpoint.")
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

    def __str__(self) -> str:
        return f"{self.type} to {self.target or 'the webhook'}"
