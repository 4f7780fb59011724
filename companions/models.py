"""Whom people talk to: a persona, the agent behind it, and the memory layers that it keeps."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.models import Workspace
from agents.models import Agent
from companions.querysets import CompanionQuerySet
from core import ids


class Layer(models.TextChoices):
    """Who the person is, what they like, what happened."""

    IDENTITY = "identity", "Identity"
    PREFERENCES = "preferences", "Preferences"
    HISTORY = "history", "History"


class Mood(models.TextChoices):
    """How a companion speaks, beside its tone."""

    SERIOUS = "serious", "Serious"
    FRIENDLY = "friendly", "Friendly"
    NORMAL = "normal", "Normal"


def every_layer() -> list[str]:
    """A companion keeps every layer unless it is told otherwise."""
    return [layer.value for layer in Layer]


MOST_TOKENS = 8_000  # of memories of one layer that are told with a message


def usual_budget() -> dict[str, int]:
    """Tokens of each layer that a companion is told with a message: about 1,000 together."""
    return {Layer.IDENTITY.value: 150, Layer.PREFERENCES.value: 200, Layer.HISTORY.value: 600}


class Companion(models.Model):
    """A persona that a person talks to, named by its type (`smart-home`)."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="companions")
    type = models.SlugField(max_length=60)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="companions")
    personality = models.TextField(blank=True)
    tone = models.CharField(max_length=200, blank=True)
    mood = models.CharField(
        max_length=10, choices=Mood, default=Mood.NORMAL, help_text="Where a message does not say which."
    )
    memory_layers = models.JSONField(default=every_layer, blank=True)
    memory_budget = models.JSONField(
        default=usual_budget, blank=True, help_text="About how many tokens of each layer it is told with a message."
    )
    tools_allowed = models.JSONField(default=list, blank=True, help_text="Empty: all of its agent's tools.")
    author_ids = ArrayField(
        models.UUIDField(),
        default=list,
        db_default=[],
        editable=False,
        help_text="Whose words stand in its persona, whatever their role.",
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = CompanionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "type"], name="one_companion_per_type")]

    def __str__(self) -> str:
        return self.name
