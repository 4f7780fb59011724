"""What may be done: the rules of a workspace, and the versions that decisions refer to."""

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from accounts.models import Group, User, Workspace
from approvals.querysets import OwnedQuerySet
from core import ids


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
