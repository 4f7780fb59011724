"""Doors to what agents are: made, changed, restored, below /v1/ai/."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents import brain
from agents.api.serializers import AgentChange, AgentsOut, AgentWhole, NewAgent, Restore, VersionOut, VersionsOut
from agents.models import Agent
from agents.services import definitions, switches, versions
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer

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
WHOLE = {
    **AGENT,
    "version": 3,
    "instructions": "You help people run their home.",
    "personality": "",
    "tone": "",
    "model": "",
    "skills": ["heating"],
    "all_tools": ["device_list", "device_control", "weather"],
    "may_ask": [],
    "task": "",
    "schedule": "",
    "reports_to": "",
    "created_at": "2026-01-01T12:00:00Z",
    "updated_at": "2026-01-01T12:00:00Z",
}
WHOLE_EXAMPLE = OpenApiExample("The agent", response_only=True, value=WHOLE)
NEW_EXAMPLE = OpenApiExample(
    "Make an agent",
    request_only=True,
    value={"name": "Hestia", "instructions": "You help people run their home.", "tools": ["device_list"]},
)
CHANGE_EXAMPLES = [
    OpenApiExample("Trust it less", request_only=True, value={"autonomy": "observer"}),
    OpenApiExample("Say something else", request_only=True, value={"version": 3, "instructions": "You run the home."}),
]
VERSION = {
    "number": 3,
    "author": "ada@example.com",
    "created_at": "2026-01-01T12:00:00Z",
    "said": {"name": "Hestia", "instructions": "You help people run their home.", "tools": ["device_list"]},
}
VERSIONS_EXAMPLE = OpenApiExample("Versions", response_only=True, value={"versions": [VERSION]})
AGENTS_EXAMPLE = OpenApiExample("Agents", response_only=True, value={"agents": [AGENT]})
UNAVAILABLE = {503: "`brain_unavailable`: no model provider answers."}
TAKEN = {409: "`agent_exists`: the workspace has an agent of this slug."}
CHANGED = {409: "`agent_changed`: it is not of the `version` any more that was sent."}


class Definitions(APIView):
    """A door that whoever chats may read through, and whose writing needs the scope `admin`."""

    @property
    def scope(self) -> str:
        """`chat` to read, `admin` to write."""
        return "chat" if self.request.method in SAFE_METHODS else "admin"

    @property
    def limit_bucket(self) -> str:
        """`read` or `write`."""
        return "read" if self.request.method in SAFE_METHODS else "write"


class AgentsView(Definitions):
    """GET and POST /v1/ai/agents."""

    @extend_schema(
        operation_id="ai_agents_list",
        responses={200: AgentsOut, **problems(*GUARDED, told=UNAVAILABLE)},
        examples=[AGENTS_EXAMPLE],
        tags=["agents"],
    )
    def get(self, request: Request) -> Response:
        """The agents of the workspace, by name."""
        QuerySerializer.read(request.query_params)
        brain.check(actor_of(request).workspace)
        agents = Agent.objects.visible_to(actor_of(request)).order_by("name", "pk")[: definitions.MOST]
        return Response(AgentsOut({"agents": agents}).data)

    @extend_schema(
        request=NewAgent,
        responses={201: AgentWhole, **problems(*GUARDED, *BODY, told=TAKEN)},
        examples=[NEW_EXAMPLE, WHOLE_EXAMPLE],
        tags=["agents"],
    )
    def post(self, request: Request) -> Response:
        """Make an agent, which advises until it is trusted more; for admins."""
        actor = actor_of(request)
        definitions.admit(actor)
        return Response(AgentWhole(definitions.create(by=actor, **NewAgent.read(request.data))).data, status=201)


class AgentView(Definitions):
    """GET, PATCH and DELETE /v1/ai/agents/{id}."""

    @extend_schema(
        operation_id="ai_agents_one",
        responses={200: AgentWhole, **problems(*GUARDED, 404)},
        examples=[WHOLE_EXAMPLE],
        tags=["agents"],
    )
    def get(self, request: Request, agent_id: UUID) -> Response:
        """An agent with its instructions; for managers and admins."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        agent = switches.find(actor, agent_id)
        switches.admit(actor, agent.workspace_id)
        return Response(AgentWhole(agent).data)

    @extend_schema(
        request=AgentChange,
        responses={200: AgentWhole, **problems(*GUARDED, *BODY, 404, told=CHANGED)},
        examples=[*CHANGE_EXAMPLES, WHOLE_EXAMPLE],
        tags=["agents"],
    )
    def patch(self, request: Request, agent_id: UUID) -> Response:
        """Change an agent: admins what it is and does, managers also how far it is trusted and whether it is on.

        What it does is a new version, and runs that began before keep to theirs. With `version` the change is made
        only while that is the newest.
        """
        body = AgentChange.read(request.data)
        actor = actor_of(request)
        agent = definitions.patch(switches.find(actor, agent_id), by=actor, **body)
        return Response(AgentWhole(agent).data)

    @extend_schema(
        request=None,
        responses={200: AgentWhole, 204: None, **problems(*GUARDED, 404)},
        examples=[WHOLE_EXAMPLE],
        tags=["agents"],
    )
    def delete(self, request: Request, agent_id: UUID) -> Response:
        """Delete an agent; one that answered or that a companion names is switched off instead (200). For admins."""
        actor = actor_of(request)
        left = definitions.remove(switches.find(actor, agent_id), by=actor)
        return Response(status=204) if left is None else Response(AgentWhole(left).data)


class VersionsView(APIView):
    """GET /v1/ai/agents/{id}/versions."""

    scope = "admin"
    limit_bucket = "read"

    @extend_schema(
        responses={200: VersionsOut, **problems(*GUARDED, 404)}, examples=[VERSIONS_EXAMPLE], tags=["agents"]
    )
    def get(self, request: Request, agent_id: UUID) -> Response:
        """What the agent was told to be and do, the newest version first; for managers and admins."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        agent = switches.find(actor, agent_id)
        switches.admit(actor, agent.workspace_id)
        return Response({"versions": VersionOut(versions.listed(agent), many=True).data})


class RestoreView(APIView):
    """POST /v1/ai/agents/{id}/restore."""

    scope = "admin"
    limit_bucket = "write"

    @extend_schema(
        request=Restore,
        responses={200: AgentWhole, **problems(*GUARDED, *BODY, 404, told=CHANGED)},
        examples=[OpenApiExample("Back to the first", request_only=True, value={"number": 1}), WHOLE_EXAMPLE],
        tags=["agents"],
    )
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Say again what an older version said, as a new version; for admins."""
        actor = actor_of(request)
        agent = switches.find(actor, agent_id)
        definitions.admit(actor)
        said: dict[str, Any] = Restore.read(request.data)
        return Response(AgentWhole(definitions.restore(agent, by=actor, **said)).data)
