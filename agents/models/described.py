"""Tools that a workspace describes rather than programs: a request to somebody's HTTP API, and the secrets it takes."""

from __future__ import annotations

import hashlib

from django.db import models

from accounts.models import Actor, Workspace
from approvals.models import Risk
from approvals.querysets import OwnedQuerySet
from core import digest, ids
from core.sealed import SealedTextField


class ToolQuerySet(models.QuerySet["Tool"]):
    """Tools of workspaces' own."""

    def visible_to(self, actor: Actor) -> ToolQuerySet:
        """Those of the caller's workspace."""
        return self.filter(workspace=actor.workspace)


class Method(models.TextChoices):
    """The methods of requests."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class Body(models.TextChoices):
    """How parameters become a body."""

    JSON = "json", "JSON"
    FORM = "form", "Form"


class Source(models.TextChoices):
    """Where a description comes from."""

    ADMIN = "admin", "By hand"
    OPENAPI = "openapi", "OpenAPI"


class RetryClass(models.TextChoices):
    """What another attempt with the same key does, from the safe to what nobody repeats."""

    IDEMPOTENT = "idempotent", "Leads to the same state"
    KEYED = "keyed", "Does nothing again: the API honours Idempotency-Key"
    UNKNOWN = "unknown", "Nobody knows: a person says what became of it"


class Tool(models.Model):
    """A request as a tool."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="tools")
    name = models.CharField(max_length=64, help_text="Up to 64 of a-z, 0-9 and _; models call it by this name.")
    title = models.CharField(max_length=100)
    description = models.TextField(max_length=2000, help_text="What models read of it.")
    method = models.CharField(max_length=10, choices=Method, default=Method.GET)
    url = models.CharField(
        max_length=2000,
        help_text="For example https://api.example.com/orders/{id}?key={secret:SHOP}; the path names parameters.",
    )
    parameters = models.JSONField(default=dict, help_text="The JSON Schema of its arguments, an object.")
    places = models.JSONField(
        default=dict,
        blank=True,
        help_text='Where each parameter goes: {"page": "query"}; path, query, header, body or whole, with ":name" for '
        "another name there. By default what the path names goes there, all else to the query or, with a body, to it.",
    )
    body = models.CharField(max_length=10, choices=Body, default=Body.JSON)
    headers = models.JSONField(
        default=dict, blank=True, help_text='For example {"Authorization": "Bearer {secret:SHOP}"}.'
    )
    risk = models.CharField(max_length=20, choices=Risk)
    retry = models.CharField(max_length=20, choices=RetryClass)
    timeout = models.PositiveSmallIntegerField(default=30, help_text="Seconds.")
    enabled = models.BooleanField(default=True)
    source = models.CharField(max_length=20, choices=Source, default=Source.ADMIN, editable=False)
    operation = models.CharField(max_length=500, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ToolQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_tool_per_name")]
        verbose_name = "described tool"
        verbose_name_plural = "described"

    def __str__(self) -> str:
        return self.name

    @property
    def version(self) -> str:
        """What an approval is bound to: it changes with anything that says what would be sent."""
        said = "name", "method", "url", "parameters", "places", "body", "headers", "risk", "retry", "description"
        return hashlib.sha256(digest.canonical({name: getattr(self, name) for name in said})).hexdigest()


class ToolSecret(models.Model):
    """A secret that descriptions name as {secret:NAME}; it is sent to its hosts alone."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="tool_secrets")
    name = models.CharField(max_length=64, help_text="Up to 64 of A-Z, 0-9 and _.")
    value = SealedTextField()
    hosts = models.JSONField(
        default=list, help_text="Hosts that it may be sent to, such as api.example.com, one a line."
    )
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet["ToolSecret"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_tool_secret_per_name")]
        verbose_name = "secret"

    def __str__(self) -> str:
        return self.name
