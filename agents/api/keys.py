"""Doors to people's own keys for model providers, below /v1/ai/."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents import environment
from agents.models import ProviderKey
from agents.services import keys
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

KEY = {"provider": "openai", "created_at": "2026-11-21T09:30:00Z", "updated_at": "2026-11-21T09:30:00Z"}
KEY_EXAMPLE = OpenApiExample("The key that was kept", response_only=True, value=KEY)
KEYS_EXAMPLE = OpenApiExample(
    "Own keys", response_only=True, value={"keys": [KEY], "providers": ["anthropic", "google", "openai"]}
)
BRING_EXAMPLE = OpenApiExample(
    "Bring a key", request_only=True, value={"provider": "openai", "api_key": "sk-…", "validate": True}
)


class KeyIn(StrictSerializer):
    """A key to keep; it is sealed, used for the caller's messages alone, and never given back."""

    provider = serializers.CharField(max_length=60)
    api_key = serializers.RegexField(r"^[\x21-\x7e]+$", max_length=4_000, help_text="Never given back.")

    def get_fields(self) -> dict[str, Any]:
        """The fields, with one whose name is taken by a method."""
        ask = serializers.BooleanField(default=False, help_text="Ask the provider whether it takes the key.")
        return {**super().get_fields(), "validate": ask}


class KeyOut(serializers.ModelSerializer[ProviderKey]):
    """That there is a key."""

    class Meta:
        model = ProviderKey
        fields = ("provider", "created_at", "updated_at")
        read_only_fields = fields


class KeysOut(serializers.Serializer[Any]):
    """The providers that the caller has keys for, and those that keys can be brought for."""

    keys = KeyOut(many=True)
    providers = serializers.ListField(child=serializers.CharField())


class _Keys(APIView):
    scope = "keys"

    @property
    def limit_bucket(self) -> str:
        """`read` or `write`."""
        return "read" if self.request.method in SAFE_METHODS else "write"


class KeysView(_Keys):
    """GET and POST /v1/ai/keys."""

    @extend_schema(
        responses={200: KeysOut, **problems(*GUARDED)},
        examples=[KEYS_EXAMPLE],
        operation_id="ai_keys_list",
        tags=["keys"],
    )
    def get(self, request: Request) -> Response:
        """The providers that the caller has keys of their own for; never a key."""
        QuerySerializer.read(request.query_params)
        rows = ProviderKey.objects.visible_to(actor_of(request)).defer("api_key").order_by("provider")
        return Response(KeysOut({"keys": rows, "providers": sorted(environment.known())}).data)

    @extend_schema(
        request=KeyIn,
        responses={
            201: KeyOut,
            **problems(*GUARDED, *BODY, 503, told={409: "`provider_off`: the workspace has switched it off."}),
        },
        examples=[BRING_EXAMPLE, KEY_EXAMPLE],
        tags=["keys"],
    )
    def post(self, request: Request) -> Response:
        """Keep a key for a provider, in place of the one before; the caller's messages go there with it from now on."""
        said = KeyIn.read(request.data)
        row = keys.keep(actor_of(request), said["provider"], said["api_key"], validate=said["validate"])
        return Response(KeyOut(row).data, status=201)


class KeyView(_Keys):
    """DELETE /v1/ai/keys/{provider}."""

    @extend_schema(request=None, responses={204: None, **problems(*GUARDED, 404)}, tags=["keys"])
    def delete(self, request: Request, provider: str) -> Response:
        """Remove the caller's key for a provider."""
        keys.remove(actor_of(request), provider)
        return Response(status=204)
