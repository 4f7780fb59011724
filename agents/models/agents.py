"""Agents, and what wakes them."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User, Workspace
from agents.querysets import AgentQuerySet, SkillQuerySet
from approvals.autonomy import Autonomy
from approvals.querysets import OwnedQuerySet
from core import ids
from core.sealed import SealedTextField


class AgentKind(models.TextChoices):
    """A companion answers people; a manager works in the background."""

    COMPANION = "companion", "Companion"
    MANAGER = "manager", "Manager"


def given_nothing() -> dict[str, Any]:
    """What an agent without skills is given."""
    return {"tools": [], "instructions": ""}


class Skill(models.Model):
    """A bundle of tools with the instructions for their use, which agents of the workspace may have."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="skills")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    instructions = models.TextField(blank=True, help_text="Told to the model of each agent that has the skill.")
    tools = models.JSONField(default=list, blank=True)
    author_ids = ArrayField(
        models.UUIDField(), default=list, db_default=[], editable=False, help_text="Whose words stand in it."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = SkillQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="one_skill_per_slug")]

    def __str__(self) -> str:
        return self.name


class Agent(models.Model):
    """Instructions, a model, tools and a degree of trust."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="agents")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=20, choices=AgentKind, default=AgentKind.COMPANION)
    instructions = models.TextField(blank=True)
    personality = models.TextField(blank=True, help_text="Where the companion that speaks has none.")
    tone = models.CharField(max_length=200, blank=True, help_text="Likewise.")
    model = models.CharField(max_length=200, blank=True, help_text="Empty: the person's, then the workspace's choice.")
    capabilities = models.JSONField(default=list, blank=True)
    tools = models.JSONField(default=list, blank=True)
    skills = models.JSONField(default=list, blank=True, help_text="Slugs of the skills that it has.")
    # What its skills give it, kept here because every message asks for it; `agents.services.skills` keeps it true.
    given = models.JSONField(default=given_nothing, blank=True, editable=False)
    may_ask = models.JSONField(
        default=list, blank=True, help_text="Slugs of the agents that it may ask by the tool ask_agent."
    )
    autonomy = models.CharField(max_length=20, choices=Autonomy, default=Autonomy.ADVISOR)
    enabled = models.BooleanField(default=True, help_text="The kill switch: an agent that is off does nothing.")
    task = models.TextField(blank=True, help_text="What an agent of kind manager is told each time it wakes.")
    schedule = models.CharField(
        max_length=100, blank=True, help_text="When it wakes: a crontab line, or `every 30 s`; empty: never by itself."
    )
    reports_to = models.CharField(
        max_length=254,
        blank=True,
        help_text="The e-mail address of a member, or the name of a group: who is told what it says in the background, "
        "and whom it may write to without asking. Empty: managers are told.",
    )
    author = models.ForeignKey(
        User,
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who last said what it does: they countersign nothing of what it does by its schedule.",
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    bare = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="It stands for models that people talk to alone: without instructions and without tools.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AgentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="one_agent_per_slug"),
            models.UniqueConstraint(fields=["workspace"], condition=Q(bare=True), name="one_bare_agent"),
            models.CheckConstraint(
                condition=Q(bare=False)
                | Q(instructions="", personality="", tone="", schedule="", tools=[], skills=[], may_ask=[]),
                name="a_bare_agent_has_nothing",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def status(self) -> str:
        """`active` or `disabled`, as the API says it."""
        return "active" if self.enabled else "disabled"

    @property
    def all_tools(self) -> list[str]:
        """Its own tools and those that its skills bring."""
        return list(dict.fromkeys([*self.tools, *self.given["tools"]]))


class AgentVersion(models.Model):
    """What an agent was told to be and do, from one change of it to the next; written once.

    The agent's own row is its newest version. A run keeps the number of the one that it began with.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    snapshot = models.JSONField()
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "number"], name="one_version_per_number")]

    def __str__(self) -> str:
        return f"version {self.number}"


class AgentHook(models.Model):
    """An address that wakes an agent by a webhook signed as Standard Webhooks has it."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="hooks")
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="hooks")
    name = models.CharField(max_length=100)
    secret = SealedTextField()
    author = models.ForeignKey(
        User,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who was shown the secret last: they stand behind what it wakes.",
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OwnedQuerySet["AgentHook"].as_manager()

    class Meta:
        verbose_name = "hook"

    def __str__(self) -> str:
        return self.name


class HookDelivery(models.Model):
    """A webhook that came, by its id, so that a repetition does nothing."""

    id = models.BigAutoField(primary_key=True)
    hook = models.ForeignKey(AgentHook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    webhook_id = models.CharField(max_length=255)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hook", "webhook_id"], name="one_delivery_per_webhook_id")]
        indexes = [models.Index(fields=["created_at"], name="hook_deliveries_by_age")]

    def __str__(self) -> str:
        return self.webhook_id
