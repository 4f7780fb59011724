"""What answers: agents, and the model providers of a workspace."""

from django.db import models
from django.db.models.functions import Now

from accounts.models import User, Workspace
from agents.querysets import AgentQuerySet, ProviderQuerySet
from approvals.autonomy import Autonomy
from approvals.querysets import OwnedQuerySet
from core import ids
from core.sealed import SealedTextField


class AgentKind(models.TextChoices):
    """A companion answers people; a manager works in the background."""

    COMPANION = "companion", "Companion"
    MANAGER = "manager", "Manager"


class Agent(models.Model):
    """Instructions, a model, tools and a degree of trust."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="agents")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=20, choices=AgentKind, default=AgentKind.COMPANION)
    instructions = models.TextField(blank=True)
    model = models.CharField(max_length=200, blank=True, help_text="Empty: the person's, then the workspace's choice.")
    capabilities = models.JSONField(default=list, blank=True)
    tools = models.JSONField(default=list, blank=True)
    autonomy = models.CharField(max_length=20, choices=Autonomy, default=Autonomy.ADVISOR)
    enabled = models.BooleanField(default=True, help_text="The kill switch: an agent that is off does nothing.")
    task = models.TextField(blank=True, help_text="What an agent of kind manager is told each time it wakes.")
    schedule = models.CharField(
        max_length=100, blank=True, help_text="When it wakes: a crontab line, or `every 30 s`; empty: never by itself."
    )
    author = models.ForeignKey(
        User,
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who last said what it does: they countersign nothing of what it does by its schedule.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AgentQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="one_agent_per_slug")]

    def __str__(self) -> str:
        return self.name

    @property
    def status(self) -> str:
        """`active` or `disabled`, as the API says it."""
        return "active" if self.enabled else "disabled"


class ProviderKind(models.TextChoices):
    """The wire format a provider speaks; one file in `agents/providers/` each."""

    OPENAI = "openai", "OpenAI-compatible"
    REHEARSAL = "rehearsal", "Rehearsal (offline)"


class Provider(models.Model):
    """A model provider that a workspace has set up; those from the environment have no row."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="providers")
    name = models.SlugField(max_length=60, help_text="Reported with every answer it gives.")
    kind = models.CharField(max_length=20, choices=ProviderKind, default=ProviderKind.OPENAI)
    base_url = models.URLField(max_length=500, blank=True, help_text="Up to and with /v1.")
    api_key = SealedTextField(blank=True)
    model_names = models.JSONField(default=list, blank=True, help_text="Model names; empty: asked of the provider.")
    default_model = models.CharField(max_length=200, blank=True)
    any_model = models.BooleanField(default=False, help_text="Pass on model names that it does not list.")
    priority = models.PositiveSmallIntegerField(default=100, help_text="Lower is asked first.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_provider_per_name")]

    def __str__(self) -> str:
        return self.name


class ToolSetting(models.Model):
    """What a workspace says of a tool: whether it may be used at all."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="tool_settings")
    tool = models.CharField(max_length=200)
    enabled = models.BooleanField(default=True, help_text="The kill switch: a tool that is off runs nowhere.")
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["ToolSetting"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "tool"], name="one_setting_per_tool")]

    def __str__(self) -> str:
        return f"{self.tool}: {'on' if self.enabled else 'off'}"


class ConnectionKind(models.TextChoices):
    """What a workspace's tools can be connected to; without a connection they work on the sandbox."""

    HOME_ASSISTANT = "home_assistant", "Home Assistant"
    INVENTORY = "inventory", "Service inventory (HTTP)"


class Connection(models.Model):
    """Where a workspace's tools reach the real world."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="connections")
    kind = models.CharField(max_length=30, choices=ConnectionKind)
    base_url = models.URLField(max_length=500)
    token = SealedTextField(blank=True)
    enabled = models.BooleanField(default=True, help_text="Off: the tools fail rather than use the sandbox.")
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["Connection"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "kind"], name="one_connection_per_kind")]

    def __str__(self) -> str:
        return self.get_kind_display()


class SandboxItem(models.Model):
    """A device of the sandbox home or a service of the sandbox inventory: made up, but it keeps its state."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="sandbox")
    world = models.CharField(max_length=20, help_text="home or inventory.")
    name = models.CharField(max_length=100)
    state = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["SandboxItem"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "world", "name"], name="one_sandbox_item_per_name")]

    def __str__(self) -> str:
        return self.name


class SandboxEffect(models.Model):
    """One change that a tool made in the sandbox, by its idempotency key: what shows that an action ran once."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="sandbox_effects", db_index=False)
    world = models.CharField(max_length=20)
    key = models.CharField(max_length=100, help_text="The idempotency key, which is the action's id.")
    tool = models.CharField(max_length=200)
    arguments = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    calls = models.PositiveIntegerField(default=1, help_text="How often this key came; the effect was made once.")
    created_at = models.DateTimeField(db_default=Now())

    objects = OwnedQuerySet["SandboxEffect"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="one_effect_per_key")]

    def __str__(self) -> str:
        return f"{self.tool} {self.arguments}"


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
