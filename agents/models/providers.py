"""The model providers of a workspace."""

from django.db import models

from accounts.models import User, Workspace
from agents.querysets import ProviderKeyQuerySet, ProviderQuerySet
from core import ids
from core.sealed import SealedTextField


class ProviderKind(models.TextChoices):
    """The wire format a provider speaks; one file in `agents/providers/` each."""

    OPENAI = "openai", "OpenAI-compatible"
    ANTHROPIC = "anthropic", "Anthropic"
    GOOGLE = "google", "Google Gemini"
    OLLAMA = "ollama", "Ollama"
    REHEARSAL = "rehearsal", "Rehearsal (offline)"


class Provider(models.Model):
    """A model provider that a workspace has set up; those from the environment have no row."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="providers")
    name = models.SlugField(max_length=60, help_text="Reported with every answer it gives.")
    kind = models.CharField(max_length=20, choices=ProviderKind, default=ProviderKind.OPENAI)
    base_url = models.URLField(max_length=500, blank=True, help_text="Up to and with /v1; Ollama's without it.")
    api_key = SealedTextField(blank=True)
    model_names = models.JSONField(default=list, blank=True, help_text="Model names; empty: asked of the provider.")
    default_model = models.CharField(max_length=200, blank=True)
    any_model = models.BooleanField(default=False, help_text="Pass on model names that it does not list.")
    priority = models.PositiveSmallIntegerField(default=100, help_text="Lower is asked first.")
    send_memories = models.BooleanField(
        default=True, help_text="Whether it is told what is remembered of the person who writes."
    )
    enabled = models.BooleanField(default=True)
    guarded = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Whether each connection to its address is vetted, because who set it is not of the staff.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_provider_per_name")]

    def __str__(self) -> str:
        return self.name


class ProviderKey(models.Model):
    """A person's own key for a well-known provider: their messages go there with it, and nobody else's."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="provider_keys")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="provider_keys")
    provider = models.CharField(max_length=60)
    api_key = SealedTextField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProviderKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "own key"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "user", "provider"], name="one_own_key_per_provider")
        ]

    def __str__(self) -> str:
        return self.provider
