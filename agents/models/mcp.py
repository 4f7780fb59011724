"""MCP servers that a workspace is connected to, and their tools as they were accepted and as they are offered now."""

from __future__ import annotations

from django.db import models

from accounts.models import Workspace
from agents.models.described import RetryClass
from approvals.models import Risk
from approvals.querysets import OwnedQuerySet
from core import ids
from core.sealed import SealedTextField


class McpTransport(models.TextChoices):
    """How a server is reached."""

    STDIO = "stdio", "A program that the operator names"
    HTTP = "http", "Streamable HTTP"


class McpServer(models.Model):
    """A server. `secrets` is a JSON object: HTTP headers, or variables of the program's environment."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="mcp_servers")
    name = models.CharField(max_length=30, help_text="Up to 30 of a-z, 0-9 and _; its tools are called name__tool.")
    transport = models.CharField(max_length=10, choices=McpTransport, default=McpTransport.HTTP)
    url = models.CharField(max_length=500, blank=True)
    program = models.CharField(max_length=60, blank=True, help_text="One of the names in MCP_STDIO_SERVERS.")
    secrets = SealedTextField(blank=True, default="")
    enabled = models.BooleanField(default=True)
    checked_at = models.DateTimeField(null=True, editable=False)
    problem = models.CharField(max_length=300, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["McpServer"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_mcp_server_per_name")]
        verbose_name = "MCP server"

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it is: what was accepted of it there, and its secrets, are for no other place."""
        return self.transport, self.url, self.program


class McpTool(models.Model):
    """A tool of a server. Only one whose definition is the accepted one is offered to models, and called."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="mcp_tools")
    server = models.ForeignKey(McpServer, on_delete=models.CASCADE, related_name="tools")
    name = models.CharField(max_length=64, editable=False)
    remote_name = models.CharField(max_length=200, editable=False)
    offered = models.JSONField(default=dict, editable=False)
    offered_hash = models.CharField(max_length=64, blank=True, editable=False)  # empty: the server has it no more
    accepted = models.JSONField(default=dict, editable=False)  # the last time; stays where it is accepted no more
    accepted_hash = models.CharField(max_length=64, blank=True, editable=False)  # empty: nobody accepted it
    risk = models.CharField(max_length=20, choices=Risk, default=Risk.DESTRUCTIVE)
    retry = models.CharField(max_length=20, choices=RetryClass, default=RetryClass.UNKNOWN)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["McpTool"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="one_mcp_tool_per_name"),
            models.UniqueConstraint(fields=["server", "remote_name"], name="one_mcp_tool_per_remote_name"),
        ]
        verbose_name = "MCP tool"

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """`gone`, `new`, `changed` or `accepted`."""
        if not self.offered_hash:
            return "gone"
        if not self.accepted_hash:
            return "new"
        return "accepted" if self.accepted_hash == self.offered_hash else "changed"
