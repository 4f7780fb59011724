"""Doors to agents, models and preferences, below /v1/ai/."""

from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.models import Membership
from agents import brain
from agents.api.serializers import AgentChange, AgentOut, AgentsOut, ModelsOut, PreferencesOut, PreferredModel
from agents.models import Agent
from agents.services import switches
from agents.services.preferences import prefer
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer

MOST = 500  # rows of a list that has no pages

AGENT = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "slug": "smart-home",
    "name": "Hestia",
    "description": "Looks after the home.",
    "kind": "companion",
    "capabilities": ["lights", "heating"],
    "tools": ["device_list", "device_control"],
    "autonomy": "advisor",
    "status": "active",
}
AGENT_EXAMPLE = OpenApiExample("The agent", response_only=True, value=AGENT)
AGENTS_EXAMPLE = OpenApiExample("Agents", response_only=True, value={"agents": [AGENT]})
CHANGE_EXAMPLE = OpenApiExample("Trust it less", request_only=True, value={"autonomy": "observer"})
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


class AgentsView(APIView):
    """GET /v1/ai/agents."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        responses={200: AgentsOut, **problems(*GUARDED, told=UNAVAILABLE)}, examples=[AGENTS_EXAMPLE], tags=["agents"]
    )
    def get(self, request: Request) -> Response:
        """The agents of the workspace, by name."""
        QuerySerializer.read(request.query_params)
        brain.check(actor_of(request).workspace)
        agents = Agent.objects.visible_to(actor_of(request)).order_by("name", "pk")[:MOST]
        return Response(AgentsOut({"agents": agents}).data)


class AgentView(APIView):
    """PATCH /v1/ai/agents/{id}."""

    scope = "admin"
    limit_bucket = "write"

    @extend_schema(
        request=AgentChange,
        responses={200: AgentOut, **problems(*GUARDED, *BODY, 404)},
        examples=[CHANGE_EXAMPLE, AGENT_EXAMPLE],
        tags=["agents"],
    )
    def patch(self, request: Request, agent_id: UUID) -> Response:
        """Trust an agent more or less, or switch it on or off; for managers and admins."""
        body = AgentChange.read(request.data)
        actor = actor_of(request)
        agent = switches.change_agent(switches.find(actor, agent_id), by=actor, **body)
        return Response(AgentOut(agent).data)


class ModelsView(APIView):
    """GET /v1/ai/models."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(responses={200: ModelsOut, **problems(*GUARDED)}, examples=[MODELS_EXAMPLE], tags=["models"])
    def get(self, request: Request) -> Response:
        """The models of all providers that answer now."""
        QuerySerializer.read(request.query_params)
        return Response(ModelsOut({"models": brain.models(actor_of(request).workspace)}).data)


class PreferencesView(APIView):
    """GET /v1/ai/preferences."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(responses={200: PreferencesOut, **problems(*GUARDED)}, tags=["preferences"])
    def get(self, request: Request) -> Response:
        """What the caller settled."""
        QuerySerializer.read(request.query_params)
        return Response(preferences(actor_of(request).membership))


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
        return Response(preferences(prefer(actor_of(request), body.validated_data["model"] or "")))


def preferences(membership: Membership) -> dict[str, object]:
    """A person's preferences as the API says them."""
    return PreferencesOut({"model": membership.preferred_model or None, "budget": None}).data
