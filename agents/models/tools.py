"""What a workspace says of its tools, and where they reach."""

from django.db import models

from accounts.models import Workspace
from approvals.querysets import OwnedQuerySet
from core import ids
from core.sealed import SealedTextField


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
        verbose_name = "switch"
        verbose_name_plural = "switches"

    def __str__(self) -> str:
        return f"{self.tool}: {'on' if self.enabled else 'off'}"


class ConnectionKind(models.TextChoices):
    """What a workspace's tools can be connected to.

    Without a connection homes and inventories are the sandbox's, and the web is not searched.
    """

    HOME_ASSISTANT = "home_assistant", "Home Assistant"
    INVENTORY = "inventory", "Service inventory (HTTP)"
    SEARXNG = "searxng", "SearXNG"
    BRAVE = "brave", "Brave Search"
    TAVILY = "tavily", "Tavily"


class Connection(models.Model):
    """Where a workspace's tools reach the real world."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="connections")
    kind = models.CharField(max_length=30, choices=ConnectionKind)
    base_url = models.URLField(max_length=500, blank=True, help_text="Empty: where the engine is for everybody.")
    token = SealedTextField(blank=True)
    enabled = models.BooleanField(default=True, help_text="Off: the tools fail rather than use the sandbox.")
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["Connection"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "kind"], name="one_connection_per_kind")]

    def __str__(self) -> str:
        return self.get_kind_display()
