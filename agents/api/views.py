"""Doors to models and preferences, below /v1/ai/."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.money import limits_of
from accounts.authentication import actor_of
from accounts.models import Actor
from accounts.services import holds
from agents import brain
from agents.api.serializers import ModelsOut, PreferencesOut, PreferredModel
from agents.services.preferences import prefer
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer

MODELS_EXAMPLE = OpenApiExample(
    "Models",
    response_only=True,
    value={
        "models": [
            {
                "id": "gpt-4o-mini",
                "provider": "openai",
                "capabilities": ["chat", "tools", "vision"],
                "tier": "free",
                "context_window": 128000,
                "price": {"input": 0.15, "output": 0.6},
            }
        ]
    },
)
PREFER_EXAMPLE = OpenApiExample("Prefer a model", request_only=True, value={"model": "gpt-4o-mini"})
UNAVAILABLE = {503: "`brain_unavailable`: no model provider answers."}


class ModelsView(APIView):
    """GET /v1/ai/models."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(responses={200: ModelsOut, **problems(*GUARDED)}, examples=[MODELS_EXAMPLE], tags=["models"])
    def get(self, request: Request) -> Response:
        """The models of all providers that answer now."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        return Response(ModelsOut({"models": brain.models(actor.workspace, actor.user.pk)}).data)


class PreferencesView(APIView):
    """GET /v1/ai/preferences."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(responses={200: PreferencesOut, **problems(*GUARDED)}, tags=["preferences"])
    def get(self, request: Request) -> Response:
        """What the caller settled."""
        QuerySerializer.read(request.query_params)
        return Response(preferences(actor_of(request)))


class PreferredModelView(APIView):
    """PUT /v1/ai/preferences/model."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(
        request=PreferredModel,
        responses={
            200: PreferencesOut,
            **problems(*GUARDED, *BODY, told={404: "`unknown_model`: no provider has it.", **UNAVAILABLE}),
        },
        examples=[PREFER_EXAMPLE],
        tags=["preferences"],
    )
    def put(self, request: Request) -> Response:
        """Prefer a model wherever a message names none."""
        body = PreferredModel(data=request.data)
        body.is_valid(raise_exception=True)
        prefer(actor_of(request), body.validated_data["model"] or "")
        return Response(preferences(actor_of(request)))


def preferences(actor: Actor) -> dict[str, object]:
    """A person's preferences, and their limits, as the API says them."""
    limits = [holds.told(one) for one in limits_of(actor)]
    model = actor.membership.preferred_model or None
    return PreferencesOut({"model": model, "budget": {"limits": limits} if limits else None}).data
