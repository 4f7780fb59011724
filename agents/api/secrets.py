"""Doors to the secrets that described tools name as {secret:NAME}, below /v1/ai/: taken in, and never given back."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents.models import ToolSecret
from agents.services import tools
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

SECRET = {"name": "SHOP", "hosts": ["shop.example.com"], "updated_at": "2026-11-21T09:30:00Z"}
SECRET_EXAMPLE = OpenApiExample("The secret that was kept", response_only=True, value=SECRET)
SECRETS_EXAMPLE = OpenApiExample("Secrets", response_only=True, value={"secrets": [SECRET]})
KEEP_EXAMPLE = OpenApiExample(
    "Keep a secret",
    request_only=True,
    value={"name": "SHOP", "value": "key-of-the-shop", "hosts": ["shop.example.com"]},
)
TAKEN = {409: "`name_taken`: somebody else kept a secret of this name at the same moment."}


class SecretIn(StrictSerializer):
    """A secret to keep; it is sealed, sent to its hosts alone, and never given back."""

    name = serializers.RegexField(r"^[A-Z][A-Z0-9_]{0,63}\Z")
    value = serializers.CharField(
        max_length=4_000,
        required=False,
        write_only=True,
        trim_whitespace=False,
        help_text="Never given back. Left out: the one that is there stays, for the same hosts or fewer.",
    )
    hosts = serializers.ListField(
        child=serializers.CharField(max_length=255),
        min_length=1,
        max_length=tools.MOST_HOSTS,
        help_text="Where it may be sent, such as api.example.com or localhost:8080.",
    )


class SecretOut(serializers.ModelSerializer[ToolSecret]):
    """That there is a secret, and where it may be sent."""

    hosts = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = ToolSecret
        fields = ("name", "hosts", "updated_at")
        read_only_fields = fields


class SecretsOut(serializers.Serializer[Any]):
    """The secrets that the workspace keeps for its described tools."""

    secrets = SecretOut(many=True)


class _Secrets(APIView):
    scope = "admin"

    @property
    def limit_bucket(self) -> str:
        """`read` or `write`."""
        return "read" if self.request.method in SAFE_METHODS else "write"


class SecretsView(_Secrets):
    """GET and POST /v1/ai/tool-secrets."""

    @extend_schema(
        responses={200: SecretsOut, **problems(*GUARDED)},
        examples=[SECRETS_EXAMPLE],
        operation_id="ai_tool_secrets_list",
        tags=["tools"],
    )
    def get(self, request: Request) -> Response:
        """The names of the secrets, each with its hosts; never a value. For admins."""
        QuerySerializer.read(request.query_params)
        return Response(SecretsOut({"secrets": tools.secrets(by=actor_of(request))}).data)

    @extend_schema(
        request=SecretIn,
        responses={201: SecretOut, **problems(*GUARDED, *BODY, told=TAKEN)},
        examples=[KEEP_EXAMPLE, SECRET_EXAMPLE],
        tags=["tools"],
    )
    def post(self, request: Request) -> Response:
        """Keep a secret, in place of the one of this name; what was approved with that one does not run. For admins."""
        actor = actor_of(request)
        tools.admit(actor)
        said = SecretIn.read(request.data)
        row = tools.keep_secret(by=actor, **{"value": "", **said})
        return Response(SecretOut(row).data, status=201)


class SecretView(_Secrets):
    """DELETE /v1/ai/tool-secrets/{name}."""

    @extend_schema(request=None, responses={204: None, **problems(*GUARDED, 404)}, tags=["tools"])
    def delete(self, request: Request, secret_name: str) -> Response:
        """Delete a secret: tools that name it fail from now on. For admins."""
        actor = actor_of(request)
        tools.remove_secret(tools.find_secret(secret_name, by=actor), by=actor)
        return Response(status=204)
