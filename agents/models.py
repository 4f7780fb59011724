"""What answers: agents, and the model providers of a workspace."""

from django.db import models

from accounts.models import Workspace
from agents.querysets import AgentQuerySet, ProviderQuerySet
from approvals.autonomy import Autonomy
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
    enabled = models.BooleanField(default=True)
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
