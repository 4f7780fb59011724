"""The teams' dialect: teams themselves, their members, and what is said to them."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.idempotency import idempotent
from agents import teams as modes
from agents.api.definitions import Definitions
from agents.models import AgentTeam
from agents.services import slugs, teams
from chat import stream
from chat.dialects import ends
from chat.dialects.agents import schema
from chat.dialects.agents.chat import begin, serve_stream, standing
from chat.dialects.agents.serializers import (
    DirectGoneOut,
    DirectNewTeam,
    DirectTeamAnswerOut,
    DirectTeamChange,
    DirectTeamHistoryOut,
    DirectTeamMessageIn,
    DirectTeamOut,
    Limit,
    check_mode,
)
from chat.dialects.agents.views import GONE, gone
from chat.following import Numbered
from chat.models import Message, MessageRole, Run
from chat.services import partners, saying
from chat.stream import Fold
from core.negotiation import AnyAccept

TAGS = ["teams dialect"]
SHOWN = [schema.shows(schema.TEAM, "A team")]
ASK = schema.asks({"message": "How could we save energy?", "mode": "brainstorm"}, "Ask all of them")
MODE = {422: "There is no such mode."}


class TeamsView(Definitions):
    """/api/teams."""

    @extend_schema(
        operation_id="teams_dialect_list",
        responses={200: DirectTeamOut(many=True), **schema.refusals()},
        examples=SHOWN,
        tags=TAGS,
    )
    def get(self, request: Request) -> Response:
        """The teams of the workspace, by name."""
        rows = AgentTeam.objects.visible_to(actor_of(request)).prefetch_related("members__agent")
        return Response(DirectTeamOut(rows.order_by("name", "pk")[: teams.MOST], many=True).data)

    @extend_schema(
        request=DirectNewTeam,
        responses={201: DirectTeamOut, **schema.refusals(409, 413, 415, told=MODE)},
        examples=[schema.asks({"name": "The household", "chat_mode": "auto"}), *SHOWN],
        tags=TAGS,
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Make a team, to which agents are added; for managers and admins."""
        actor, body = actor_of(request), DirectNewTeam.read(request.data)
        slug = slugs.free(AgentTeam.objects.visible_to(actor), body["name"], "team")
        return Response(DirectTeamOut(teams.create(by=actor, slug=slug, **checked(body))).data, status=201)


class TeamView(Definitions):
    """/api/teams/{id}."""

    @extend_schema(
        operation_id="teams_dialect_one",
        responses={200: DirectTeamOut, **schema.refusals(404)},
        examples=SHOWN,
        tags=TAGS,
    )
    def get(self, request: Request, team_id: UUID) -> Response:
        """The team with its members."""
        return Response(DirectTeamOut(teams.get(team_id, by=actor_of(request))).data)

    @extend_schema(
        request=DirectTeamChange,
        responses={200: DirectTeamOut, **schema.refusals(404, 413, 415, told=MODE)},
        examples=[schema.asks({"chat_mode": "debate"}), *SHOWN],
        tags=TAGS,
    )
    def put(self, request: Request, team_id: UUID) -> Response:
        """Change what is sent of a team; for managers and admins."""
        actor = actor_of(request)
        team = teams.get(team_id, by=actor)
        changed = teams.change(team, by=actor, **checked(DirectTeamChange.read(request.data)))
        return Response(DirectTeamOut(changed).data)

    @extend_schema(request=None, responses={200: DirectGoneOut, **schema.refusals(404)}, examples=GONE, tags=TAGS)
    def delete(self, request: Request, team_id: UUID) -> Response:
        """Delete a team, or switch it off where people have talked with it; for managers and admins."""
        actor = actor_of(request)
        return Response(gone(teams.retire(teams.get(team_id, by=actor), by=actor)))


class TeamAgentView(APIView):
    """/api/teams/{id}/agents/{agent_id}."""

    scope = "admin"

    @extend_schema(request=None, responses={200: DirectTeamOut, **schema.refusals(404)}, examples=SHOWN, tags=TAGS)
    def post(self, request: Request, team_id: UUID, agent_id: UUID) -> Response:
        """Give an agent the last place of a team, unless it has one; for managers and admins."""
        actor = actor_of(request)
        return Response(DirectTeamOut(teams.add(teams.get(team_id, by=actor), agent_id, by=actor)).data)

    @extend_schema(request=None, responses={200: DirectTeamOut, **schema.refusals(404)}, examples=SHOWN, tags=TAGS)
    def delete(self, request: Request, team_id: UUID, agent_id: UUID) -> Response:
        """Take an agent's place in a team away; for managers and admins."""
        actor = actor_of(request)
        return Response(DirectTeamOut(teams.drop(teams.get(team_id, by=actor), agent_id, by=actor)).data)


class OfTeam(APIView):
    """A door that a key of this one team opens too."""

    scope = "chat"

    @property
    def own_scope(self) -> str:
        """The scope of the team that the path names."""
        return f"team:{UUID(self.kwargs['team_id'])}"


class TeamChatView(OfTeam):
    """POST /api/teams/{id}/chat."""

    limit_bucket = "chat"
    content_negotiation_class = AnyAccept

    @extend_schema(
        request=DirectTeamMessageIn,
        responses={200: DirectTeamAnswerOut, **schema.CHAT, **schema.refusals(told=MODE)},
        examples=[ASK, schema.shows(schema.TEAM_ANSWER)],
        tags=TAGS,
    )
    def post(self, request: Request, team_id: UUID) -> HttpResponseBase:
        """Say something to a team; the answers of all members come at once."""
        team = teams.get(team_id, by=actor_of(request))
        return begin(request, message_of(request), team, serve_answer)


class TeamChatStreamView(OfTeam):
    """POST /api/teams/{id}/chat/stream."""

    limit_bucket = "chat"
    content_negotiation_class = AnyAccept

    @extend_schema(
        request=DirectTeamMessageIn,
        responses={
            **schema.sse(
                schema.TEAM_SSE_TEXT,
                f'data: {{"type":"text","agent_id":"{schema.ID}","agent_name":"Hestia","content":"Heat less."}}\n\n'
                'data: {"type":"done","content":""}\n\ndata: [DONE]\n\n',
            ),
            **schema.CHAT,
            **schema.refusals(told=MODE),
        },
        examples=[ASK],
        tags=TAGS,
    )
    def post(self, request: Request, team_id: UUID) -> HttpResponseBase:
        """Say something to a team; the answers come as they are made, each piece with who says it."""
        team = teams.get(team_id, by=actor_of(request))
        return begin(request, message_of(request), team, serve_stream, wait=saying.STREAM_WAIT)


class TeamHistoryView(OfTeam):
    """GET /api/teams/{id}/history."""

    limit_bucket = "read"

    @extend_schema(
        parameters=[Limit],
        responses={200: DirectTeamHistoryOut, **schema.refusals(404)},
        examples=[schema.shows({"messages": [{**schema.SAID, "agent_id": schema.ID, "agent_name": "Hestia"}]})],
        tags=TAGS,
    )
    def get(self, request: Request, team_id: UUID) -> Response:
        """The last messages of the caller and this team's members, oldest first."""
        actor, query = actor_of(request), Limit.read(request.query_params)
        rows = partners.said(teams.get(team_id, by=actor), by=actor, limit=query["limit"])
        entries = [entry for row in rows for entry in told(row)]
        return Response(DirectTeamHistoryOut({"messages": entries[-query["limit"] :]}).data)


def serve_answer(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The end of a team's run as one JSON body."""

    async def render(fold: Fold) -> tuple[int, Any]:
        last = ends.of(fold, run)
        said = await ends.of_team(run, last, await ends.stored(last))
        return 200, {**said, **standing(run, last)}

    return stream.answer(batches, render)


def message_of(request: Request) -> dict[str, Any]:
    """The message to a team; raises UnknownMode, and ValidationError."""
    return checked(DirectTeamMessageIn.read(request.data), "mode")


def checked(body: dict[str, Any], field: str = "chat_mode") -> dict[str, Any]:
    """The body, whose mode is one that there is, or is left out; raises UnknownMode."""
    check_mode(body.get(field))
    return {name: value for name, value in body.items() if value or name != field}


def told(row: Message) -> list[dict[str, Any]]:
    """A stored message as its speakers said it: a team's answer is what each of its members said."""
    entry = {"role": row.role, "created_at": row.created_at}
    if row.role == MessageRole.ASSISTANT and (said := modes.told(row.parts)):
        return [{**entry, **one} for one in said]
    return [{**entry, "content": row.content, "agent_id": None, "agent_name": None}]
