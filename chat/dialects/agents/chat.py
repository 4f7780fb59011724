"""What is said to an agent: whole answers and streams, and what was said before."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents.models import Agent, AgentTeam
from agents.services import switches
from chat import stream
from chat.dialects import ends, responding
from chat.dialects.agents import schema
from chat.dialects.agents.encoder import FAULT, Encoder
from chat.dialects.agents.serializers import (
    DirectAnswerOut,
    DirectHistoryOut,
    DirectMemoriesOut,
    DirectMessageIn,
    DirectSaidOut,
    HistoryQuery,
    Limit,
)
from chat.dialects.ends import Ended
from chat.following import Numbered
from chat.models import Run
from chat.services import partners, saying
from chat.services.runs import OnConflict
from chat.services.saying import Said
from chat.stream import Fold
from core.negotiation import AnyAccept
from memory.services import listing

TAGS = ["agents dialect"]
ASK = schema.asks({"message": "Good morning"}, "Say something")


class OfAgent(APIView):
    """A door that a key of this one agent opens too."""

    scope = "chat"

    @property
    def own_scope(self) -> str:
        """The scope of the agent that the path names."""
        return f"agent:{UUID(self.kwargs['agent_id'])}"


class ChatView(OfAgent):
    """POST /api/agents/{id}/chat."""

    limit_bucket = "chat"
    content_negotiation_class = AnyAccept

    @extend_schema(
        request=DirectMessageIn,
        responses={200: DirectAnswerOut, **schema.CHAT},
        examples=[ASK, schema.shows(schema.ANSWER)],
        tags=TAGS,
    )
    def post(self, request: Request, agent_id: UUID) -> HttpResponseBase:
        """Say something to an agent; the whole answer comes at once."""
        agent = switches.find(actor_of(request), agent_id)
        return begin(request, DirectMessageIn.read(request.data), agent, partial(serve_answer, agent))


class ChatStreamView(OfAgent):
    """POST /api/agents/{id}/chat/stream."""

    limit_bucket = "chat"
    content_negotiation_class = AnyAccept

    @extend_schema(
        request=DirectMessageIn,
        responses={
            **schema.sse(
                schema.SSE_TEXT,
                'data: {"type":"text","content":"Good "}\n\ndata: {"type":"text","content":"morning."}\n\n'
                'data: {"type":"done","content":""}\n\ndata: [DONE]\n\n',
            ),
            **schema.CHAT,
        },
        examples=[ASK],
        tags=TAGS,
    )
    def post(self, request: Request, agent_id: UUID) -> HttpResponseBase:
        """Say something to an agent; the answer comes as it is made."""
        agent = switches.find(actor_of(request), agent_id)
        return begin(request, DirectMessageIn.read(request.data), agent, serve_stream, wait=saying.STREAM_WAIT)


class HistoryView(OfAgent):
    """GET /api/agents/{id}/history."""

    limit_bucket = "read"

    @extend_schema(
        parameters=[HistoryQuery],
        responses={200: DirectHistoryOut, **schema.refusals(404)},
        examples=[schema.shows({"messages": [schema.SAID]})],
        tags=TAGS,
    )
    def get(self, request: Request, agent_id: UUID) -> Response:
        """The last messages of the caller and this agent, oldest first."""
        actor, query = actor_of(request), HistoryQuery.read(request.query_params)
        agent = switches.find(actor, agent_id)
        wanted = query.get("conversation_id")
        conversation = partners.find(wanted, agent, by=actor) if wanted else None
        rows = partners.said(agent, by=actor, limit=query["limit"], conversation=conversation)
        return Response({"messages": DirectSaidOut(rows, many=True).data})


class MemoriesView(OfAgent):
    """GET /api/agents/{id}/memories."""

    scope = "memory"
    limit_bucket = "read"

    @extend_schema(
        parameters=[Limit],
        responses={200: DirectMemoriesOut, **schema.refusals(404)},
        examples=[
            schema.shows(
                {
                    "memories": [
                        {
                            "id": schema.ID,
                            "content": "Lives in Rotterdam.",
                            "layer": "identity",
                            "type": "home",
                            "confidence": 1.0,
                            "created_at": schema.AT,
                            "updated_at": schema.AT,
                        }
                    ]
                }
            )
        ],
        tags=TAGS,
    )
    def get(self, request: Request, agent_id: UUID) -> Response:
        """What is remembered of the caller by the companions that speak as this agent, the newest first."""
        actor, query = actor_of(request), Limit.read(request.query_params)
        rows = listing.with_agent(actor, switches.find(actor, agent_id), limit=query["limit"])
        return Response(DirectMemoriesOut({"memories": rows}).data)


def begin(
    request: Request, body: dict[str, Any], partner: Agent | AgentTeam, serve: responding.Serve, *, wait: float = 0.0
) -> HttpResponseBase:
    """Begin a run in the conversation that the body names, or in a new one, and serve it."""
    said = Said(text=body["message"], mode=body.get("mode"), on_conflict=OnConflict(body["on_conflict"]))
    find = partial(partners.open_, partner, by=actor_of(request), conversation_id=body.get("conversation_id"))
    return responding.respond(request, said, find, serve, wait=wait)


def serve_stream(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The run's events as lines of data; a header names the conversation."""
    encoder = Encoder(team=run.team is not None)
    response = stream.sse(batches, encoder, fault=FAULT)
    response["X-Conversation-Id"] = str(run.conversation_id)
    return response


def serve_answer(agent: Agent, run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The run's end as one JSON body."""

    async def render(fold: Fold) -> tuple[int, Any]:
        last = ends.of(fold, run)
        who = {"agent_id": str(agent.pk), "agent_name": agent.name}
        return 200, {"response": last.text, **who, **standing(run, last)}

    return stream.answer(batches, render)


def standing(run: Run, last: Ended) -> dict[str, Any]:
    """Where the answer stands, and what it waits for."""
    told = {"status": ends.standing(last), "approvals": ends.approvals(last)}
    return {"conversation_id": str(run.conversation_id), **told}
