"""The agents' dialect beside what is said: agents themselves, the caller's conversations with one, and the inbox."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.idempotency import idempotent
from accounts.models import Actor
from agents.api.definitions import Definitions
from agents.models import Agent
from agents.services import definitions, skills, slugs, switches
from chat.dialects.agents import schema
from chat.dialects.agents.chat import TAGS
from chat.dialects.agents.serializers import (
    DirectAgentChange,
    DirectAgentOut,
    DirectConversationOut,
    DirectGoneOut,
    DirectInboxOut,
    DirectNewAgent,
    DirectReadIn,
    DirectReadOut,
    DirectRenameIn,
    DirectTitleIn,
    Limit,
    PageQuery,
)
from chat.services import conversations, inbox, partners

SHOWN = [schema.shows(schema.AGENT, "An agent")]
GONE = [schema.shows({"ok": True}, "Deleted"), schema.shows({"ok": True, "status": "disabled"}, "Switched off")]


class AgentsView(Definitions):
    """/api/agents."""

    @extend_schema(
        operation_id="agents_dialect_list",
        responses={200: DirectAgentOut(many=True), **schema.refusals()},
        examples=SHOWN,
        tags=TAGS,
    )
    def get(self, request: Request) -> Response:
        """The agents of the workspace, by name."""
        rows = partners.agents(actor_of(request)).order_by("name", "pk")[: definitions.MOST]
        return Response(DirectAgentOut(rows, many=True).data)

    @extend_schema(
        request=DirectNewAgent,
        responses={201: DirectAgentOut, **schema.refusals(409, 413, 415)},
        examples=[schema.asks({"name": "Hestia", "system_prompt": "You help people run their home."}), *SHOWN],
        tags=TAGS,
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Make an agent; for admins."""
        actor = actor_of(request)
        definitions.admit(actor)
        said = said_of(DirectNewAgent.read(request.data), actor)
        slug = slugs.free(Agent.objects.visible_to(actor), said["name"], "agent")
        made = definitions.create(by=actor, slug=slug, **said)
        return Response(shown(actor, made.pk), status=201)


class AgentView(Definitions):
    """/api/agents/{id}."""

    @extend_schema(
        operation_id="agents_dialect_one",
        responses={200: DirectAgentOut, **schema.refusals(404)},
        examples=SHOWN,
        tags=TAGS,
    )
    def get(self, request: Request, agent_id: UUID) -> Response:
        """An agent."""
        actor = actor_of(request)
        return Response(shown(actor, agent_id))

    @extend_schema(
        request=DirectAgentChange,
        responses={200: DirectAgentOut, **schema.refusals(404, 413, 415)},
        examples=[schema.asks({"tone": "brisk"}), *SHOWN],
        tags=TAGS,
    )
    def put(self, request: Request, agent_id: UUID) -> Response:
        """Change what is sent of an agent; for admins."""
        actor = actor_of(request)
        agent = switches.find(actor, agent_id)
        definitions.admit(actor)
        said = said_of(DirectAgentChange.read(request.data), actor)
        return Response(shown(actor, definitions.change(agent, by=actor, **said).pk))

    @extend_schema(request=None, responses={200: DirectGoneOut, **schema.refusals(404)}, examples=GONE, tags=TAGS)
    def delete(self, request: Request, agent_id: UUID) -> Response:
        """Delete an agent, or switch it off where people have talked with it; for admins."""
        actor = actor_of(request)
        return Response(gone(definitions.remove(switches.find(actor, agent_id), by=actor)))


class ConversationsView(APIView):
    """/api/agents/{id}/conversations."""

    scope = "chat"

    @extend_schema(
        operation_id="agents_dialect_conversations",
        parameters=[PageQuery],
        responses={200: DirectConversationOut(many=True), **schema.refusals(404)},
        examples=[schema.shows(schema.CONVERSATION)],
        tags=TAGS,
    )
    def get(self, request: Request, agent_id: UUID) -> Response:
        """The caller's conversations with this agent, the most recent first."""
        actor, query = actor_of(request), PageQuery.read(request.query_params)
        rows = partners.listed(switches.find(actor, agent_id), by=actor, **query)
        return Response(DirectConversationOut(rows, many=True).data)

    @extend_schema(
        request=DirectTitleIn,
        responses={201: DirectConversationOut, **schema.refusals(404, 409, 413, 415)},
        examples=[schema.asks({"title": "Heating"}), schema.shows(schema.CONVERSATION)],
        tags=TAGS,
    )
    @idempotent
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Begin a conversation with this agent in which nothing is said yet."""
        actor = actor_of(request)
        agent = switches.find(actor, agent_id)
        made = partners.create(agent, by=actor, title=DirectTitleIn.read(request.data or {}).get("title", ""))
        return Response(DirectConversationOut(made).data, status=201)


class ConversationView(APIView):
    """/api/agents/{id}/conversations/{conv_id}."""

    scope = "chat"

    @extend_schema(
        request=DirectRenameIn,
        responses={200: DirectConversationOut, **schema.refusals(404, 413, 415)},
        examples=[schema.asks({"title": "Heating"}), schema.shows(schema.CONVERSATION)],
        tags=TAGS,
    )
    def put(self, request: Request, agent_id: UUID, conversation_id: UUID) -> Response:
        """Give a conversation another title."""
        actor = actor_of(request)
        found = partners.find(conversation_id, switches.find(actor, agent_id), by=actor)
        conversations.change(found, title=DirectRenameIn.read(request.data)["title"])
        return Response(DirectConversationOut(found).data)

    @extend_schema(request=None, responses={200: DirectGoneOut, **schema.refusals(404)}, examples=GONE[:1], tags=TAGS)
    def delete(self, request: Request, agent_id: UUID, conversation_id: UUID) -> Response:
        """Delete a conversation with its messages; what answers in it is stopped."""
        actor = actor_of(request)
        found = partners.find(conversation_id, switches.find(actor, agent_id), by=actor)
        conversations.delete(found, by=actor)
        return Response({"ok": True})


class InboxView(APIView):
    """/api/agents/{id}/inbox."""

    scope = "chat"

    @extend_schema(
        parameters=[Limit],
        responses={200: DirectInboxOut, **schema.refusals(404)},
        examples=[
            schema.shows({"messages": [{"id": schema.ID, "conversation_id": schema.ID, **schema.SAID}], "unread": 1})
        ],
        tags=TAGS,
    )
    def get(self, request: Request, agent_id: UUID) -> Response:
        """What this agent answered or wrote by itself and the caller has not read, the newest first."""
        actor, query = actor_of(request), Limit.read(request.query_params)
        agent = switches.find(actor, agent_id)
        found = inbox.page(by=actor, agent=str(agent.pk), limit=query["limit"], direct=True)
        return Response(DirectInboxOut(found).data)


class MarkReadView(APIView):
    """/api/agents/{id}/mark-read."""

    scope = "chat"

    @extend_schema(
        request=DirectReadIn,
        responses={200: DirectReadOut, **schema.refusals(404, 413, 415)},
        examples=[schema.asks({"conversation_id": schema.ID}), schema.shows({"ok": True, "marked": 1})],
        tags=TAGS,
    )
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Note what the caller read: these messages, those of a conversation, or all of this agent."""
        actor = actor_of(request)
        agent, body = switches.find(actor, agent_id), DirectReadIn.read(request.data or {})
        marked = inbox.read(
            by=actor,
            message_ids=body.get("message_ids"),
            session_id=body.get("conversation_id"),
            agent=str(agent.pk),
            direct=True,
        )
        return Response({"ok": True, "marked": marked})


def said_of(body: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """What the body says of an agent, in the words of the service."""
    said = dict(body)
    if "system_prompt" in said:
        said["instructions"] = said.pop("system_prompt")
    if "skills" in said:
        said |= skills.told_apart(actor, said["skills"])
    return said


def shown(actor: Actor, agent_id: UUID) -> dict[str, object]:
    """An agent with its counts; raises UnknownAgent."""
    return dict(DirectAgentOut(partners.agent(actor, agent_id)).data)


def gone(left: object) -> dict[str, object]:
    """What a deletion is answered with: whether something is left, that is switched off."""
    return {"ok": True, "status": "disabled"} if left else {"ok": True}
