"""Doors to companions, below /v1/ai/."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from companions import services
from companions.api.serializers import CompanionConfig, CompanionOut, CompanionsOut
from companions.models import Companion
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer

MOST = 500  # rows of a list that has no pages

HESTIA = {
    "type": "smart-home",
    "name": "Hestia",
    "description": "Looks after the home.",
    "agent": "smart-home",
    "personality": "Calm and practical.",
    "tone": "friendly",
    "mood": "normal",
    "memory_layers": ["identity", "preferences", "history"],
    "memory_budget": {"identity": 150, "preferences": 200, "history": 600},
    "tools_allowed": [],
}
LIST_EXAMPLE = OpenApiExample("Companions", response_only=True, value={"companions": [HESTIA]})
CONFIG_EXAMPLE = OpenApiExample("Change the tone", request_only=True, value={"tone": "brief"})


class CompanionsView(APIView):
    """GET /v1/ai/companions."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(responses={200: CompanionsOut, **problems(*GUARDED)}, examples=[LIST_EXAMPLE], tags=["companions"])
    def get(self, request: Request) -> Response:
        """The companions of the workspace, by name."""
        QuerySerializer.read(request.query_params)
        found = Companion.objects.visible_to(actor_of(request)).select_related("agent").order_by("name", "pk")[:MOST]
        return Response(CompanionsOut({"companions": found}).data)


class CompanionConfigView(APIView):
    """PUT /v1/ai/companions/{type}/config."""

    scope = "admin"
    limit_bucket = "write"

    @extend_schema(
        request=CompanionConfig,
        responses={
            200: CompanionOut,
            **problems(
                *GUARDED,
                *BODY,
                told={403: "`role_required`: only a manager or an admin may do this.", 404: "`unknown_companion`"},
            ),
        },
        examples=[CONFIG_EXAMPLE],
        tags=["companions"],
    )
    def put(self, request: Request, type: str) -> Response:
        """Change a companion's persona, the memory it keeps and the tools it may use."""
        body = CompanionConfig(data=request.data)
        body.is_valid(raise_exception=True)
        persona = services.Persona(**body.validated_data)
        companion = services.configure(services.find(actor_of(request), type), persona, by=actor_of(request))
        return Response(CompanionOut(companion).data)
