"""The native dialect's door to teams: a message in, the answers of all members out."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from accounts.authentication import actor_of
from accounts.models import Actor
from agents.events import RunWaiting
from agents.models import AgentTeam, ChatMode
from agents.services import teams
from chat import stream
from chat.dialects import ends
from chat.dialects.native import schema
from chat.dialects.native.serializers import ChatAnswer, MessageRequest
from chat.dialects.native.views import ChatView, answer_body
from chat.following import Numbered
from chat.models import Conversation, Run
from chat.services import conversations, partners
from chat.stream import Fold
from core.errors import Invalid


class TeamMessage(MessageRequest):
    """A message to a team; its members have their own tools alone."""

    tools = None  # type: ignore[assignment]  # how DRF drops a field of the parent
    mode = serializers.ChoiceField(choices=ChatMode.choices, required=False, help_text="Left out: the team's own.")


class ResponseOut(serializers.Serializer[Any]):
    """What a member answered in the end."""

    agent_id = serializers.UUIDField()
    agent_name = serializers.CharField()
    content = serializers.CharField()
    error = serializers.CharField(required=False, help_text="Why it did not answer.")


class TeamAnswer(ChatAnswer):
    """A whole answer of a team at once."""

    mode = serializers.CharField(help_text="The mode in which it answered; `auto` has become another.")
    responses = ResponseOut(many=True)
    summary = serializers.CharField()


EXAMPLE = OpenApiExample(
    "Ask all of them", request_only=True, value={"message": "How could we save energy?", "mode": "brainstorm"}
)
RESPONSES = {
    **schema.CHAT,
    (200, "application/json"): TeamAnswer,
    (202, "application/json"): OpenApiResponse(TeamAnswer, "The answers so far; a member waits for approval."),
}


class TeamChatView(ChatView):
    """POST /v1/ai/teams/{id}/chat."""

    request_serializer = TeamMessage

    @extend_schema(request=TeamMessage, responses=RESPONSES, examples=[EXAMPLE], tags=["teams"])
    def post(self, request: Request, team_id: UUID) -> HttpResponseBase:  # type: ignore[override]
        """Say something to a team; each piece of the stream, and each part of the answer, says who speaks."""
        said = self.request_serializer.read(request.data)
        return self.respond(request, said, partial(find_conversation, actor_of(request), team_id, said), serve_answer)


def find_conversation(actor: Actor, team_id: UUID, said: dict[str, Any]) -> Conversation:
    """The session with the team to go on with, or a new one; raises UnknownTeam, UnknownSession or Invalid."""
    team: AgentTeam = teams.get(team_id, by=actor)
    if "session_id" not in said:
        return partners.open_(team, by=actor, conversation_id=None)
    conversation = conversations.get(said["session_id"], by=actor)
    if conversation.team_id != team.pk:
        raise Invalid.field("session_id", "The session is with somebody else.", "mismatch")
    return conversation


def serve_answer(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The end of a team's run as one JSON body."""

    async def render(fold: Fold) -> tuple[int, Any]:
        last = ends.of(fold, run)
        message = await ends.stored(last)
        body = {**answer_body(run, last, message), **await ends.of_team(run, last, message)}
        return (202 if isinstance(last, RunWaiting) else 200), body

    return stream.answer(batches, render)
