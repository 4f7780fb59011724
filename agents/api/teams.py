"""Doors to teams, below /v1/ai/; what is said to one comes through chat."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents.api.definitions import Definitions
from agents.models import AgentTeam, ChatMode
from agents.services import teams
from agents.teams import MOST_MEMBERS
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

TEAM = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "slug": "household",
    "name": "The household",
    "description": "Whoever keeps the home running.",
    "chat_mode": "auto",
    "enabled": True,
    "lead": "smart-home",
    "agents": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "slug": "smart-home", "name": "Hestia"}],
    "created_at": "2026-01-01T12:00:00Z",
}
EXAMPLE = OpenApiExample("The team", response_only=True, value=TEAM)
CREATE_EXAMPLE = OpenApiExample(
    "Make a team", request_only=True, value={"name": "The household", "agents": ["smart-home", "devops"]}
)
CHANGE_EXAMPLE = OpenApiExample("Let it debate", request_only=True, value={"chat_mode": "debate"})
TAGS = ["teams"]


class MemberOut(serializers.Serializer[Any]):
    """An agent in a team."""

    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()


class TeamOut(serializers.ModelSerializer[AgentTeam]):
    """A team."""

    lead = serializers.CharField(
        source="lead.slug", default=None, allow_null=True, help_text="Null: it has no members yet."
    )
    agents = serializers.SerializerMethodField()

    class Meta:
        model = AgentTeam
        fields = ("id", "slug", "name", "description", "chat_mode", "enabled", "lead", "agents", "created_at")
        read_only_fields = fields

    @extend_schema_field(MemberOut(many=True))
    def get_agents(self, team: AgentTeam) -> list[dict[str, Any]]:
        """The members in the order in which they speak."""
        return [{"id": str(row.agent.pk), "slug": row.agent.slug, "name": row.agent.name} for row in team.members.all()]


class TeamsOut(serializers.Serializer[Any]):
    """The teams of the workspace."""

    teams = TeamOut(many=True)


class TeamChange(StrictSerializer):
    """What of a team is changed; what is not sent stays."""

    name = serializers.CharField(max_length=200, required=False)
    description = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    chat_mode = serializers.ChoiceField(choices=ChatMode.choices, required=False)
    enabled = serializers.BooleanField(required=False)
    lead = serializers.SlugField(max_length=60, required=False, help_text="The slug of the agent that sums up.")
    agents = serializers.ListField(
        child=serializers.SlugField(max_length=60),
        min_length=1,
        max_length=MOST_MEMBERS,
        required=False,
        help_text="The slugs of its members, in the order in which they speak.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs:
            raise serializers.ValidationError(f"Send at least one of {', '.join(self.fields)}.", code="required")
        return attrs


class TeamRequest(StrictSerializer):
    """A new team."""

    name = serializers.CharField(max_length=200)
    slug = serializers.SlugField(max_length=60, required=False, help_text="Left out: made of the name.")
    description = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    chat_mode = serializers.ChoiceField(choices=ChatMode.choices, default=ChatMode.AUTO)
    lead = serializers.SlugField(max_length=60, required=False, help_text="Left out: the first of the members.")
    agents = serializers.ListField(
        child=serializers.SlugField(max_length=60),
        min_length=1,
        max_length=MOST_MEMBERS,
        help_text="The slugs of its members, in the order in which they speak.",
    )


class TeamsView(Definitions):
    """/v1/ai/teams."""

    @extend_schema(operation_id="ai_teams_list", responses={200: TeamsOut, **problems(*GUARDED)}, tags=TAGS)
    def get(self, request: Request) -> Response:
        """The teams of the workspace, by name."""
        QuerySerializer.read(request.query_params)
        rows = AgentTeam.objects.visible_to(actor_of(request)).select_related("lead").prefetch_related("members__agent")
        return Response(TeamsOut({"teams": rows.order_by("name", "pk")[: teams.MOST]}).data)

    @extend_schema(
        request=TeamRequest,
        responses={201: TeamOut, **problems(*GUARDED, *BODY, 409)},
        examples=[CREATE_EXAMPLE, EXAMPLE],
        tags=TAGS,
    )
    def post(self, request: Request) -> Response:
        """Make a team; for managers and admins."""
        body = TeamRequest.read(request.data)
        return Response(TeamOut(teams.create(by=actor_of(request), **body)).data, status=201)


class TeamView(Definitions):
    """/v1/ai/teams/{id}."""

    @extend_schema(responses={200: TeamOut, **problems(*GUARDED, 404)}, examples=[EXAMPLE], tags=TAGS)
    def get(self, request: Request, team_id: UUID) -> Response:
        """The team with its members."""
        QuerySerializer.read(request.query_params)
        return Response(TeamOut(teams.get(team_id, by=actor_of(request))).data)

    @extend_schema(
        request=TeamChange,
        responses={200: TeamOut, **problems(*GUARDED, *BODY, 404)},
        examples=[CHANGE_EXAMPLE, EXAMPLE],
        tags=TAGS,
    )
    def patch(self, request: Request, team_id: UUID) -> Response:
        """Change a team; for managers and admins."""
        body = TeamChange.read(request.data)
        by = actor_of(request)
        return Response(TeamOut(teams.change(teams.get(team_id, by=by), by=by, **body)).data)

    @extend_schema(responses={204: None, **problems(*GUARDED, 404, 409)}, tags=TAGS)
    def delete(self, request: Request, team_id: UUID) -> Response:
        """Delete a team that nobody has talked with; for managers and admins."""
        by = actor_of(request)
        teams.remove(teams.get(team_id, by=by), by=by)
        return Response(status=204)


class TeamAgentView(APIView):
    """/v1/ai/teams/{id}/agents/{agent_id}."""

    scope = "admin"
    limit_bucket = "write"

    @extend_schema(request=None, responses={200: TeamOut, **problems(*GUARDED, 404)}, examples=[EXAMPLE], tags=TAGS)
    def post(self, request: Request, team_id: UUID, agent_id: UUID) -> Response:
        """Give an agent the last place of a team, unless it has one; for managers and admins."""
        by = actor_of(request)
        return Response(TeamOut(teams.add(teams.get(team_id, by=by), agent_id, by=by)).data)

    @extend_schema(responses={200: TeamOut, **problems(*GUARDED, 404)}, examples=[EXAMPLE], tags=TAGS)
    def delete(self, request: Request, team_id: UUID, agent_id: UUID) -> Response:
        """Take an agent's place in a team away; for managers and admins."""
        by = actor_of(request)
        return Response(TeamOut(teams.drop(teams.get(team_id, by=by), agent_id, by=by)).data)
