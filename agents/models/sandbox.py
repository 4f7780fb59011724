"""The sandbox home and the sandbox inventory: made up, but they keep their state."""

from django.db import models
from django.db.models.functions import Now

from accounts.models import Workspace
from approvals.querysets import OwnedQuerySet
from core import ids


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
        verbose_name = "item of the sandbox"
        verbose_name_plural = "sandbox"

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
        verbose_name = "effect in the sandbox"
        verbose_name_plural = "effects in the sandbox"

    def __str__(self) -> str:
        return f"{self.tool} {self.arguments}"
