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
from agents import teams as modes
from agents.events import RunCancelled, RunCompleted, RunFailed, RunWaiting
from agents.models import AgentTeam, ChatMode
from agents.services import teams
from chat import stream
from chat.dialects.native import schema
from chat.dialects.native.serializers import ChatAnswer, MessageRequest
from chat.dialects.native.views import ChatView, RunError, answer_body, stored
from chat.following import Numbered
from chat.models import Conversation, Run
from chat.services import conversations
from chat.stream import Fold
from core import bridge, ids
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
        return Conversation(id=ids.new(), workspace=actor.workspace, user=actor.user, team=team)
    conversation = conversations.get(said["session_id"], by=actor)
    if conversation.team_id != team.pk:
        raise Invalid.field("session_id", "The session is with somebody else.", "mismatch")
    return conversation


def serve_answer(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The end of a team's run as one JSON body."""

    async def render(fold: Fold) -> tuple[int, Any]:
        last = fold.last
        if isinstance(last, RunFailed):
            raise RunError(last, run)
        assert isinstance(last, RunWaiting | RunCompleted | RunCancelled), "a followed run ends with one of these"
        if isinstance(last, RunWaiting):
            parts = await bridge.in_thread(draft, run)
            body = answer_body(run, last, "awaiting_approval", None, approvals=last.approvals)
            return 202, {**body, **told(run, parts)}
        message = await bridge.in_thread(stored, last.message_id)
        status = "completed" if isinstance(last, RunCompleted) else "cancelled"
        return 200, {**answer_body(run, last, status, message), **told(run, message["parts"] if message else [])}

    return stream.answer(batches, render)


def told(run: Run, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Who answered what, in which mode."""
    responses, summary = modes.result(parts)
    return {"mode": (run.team or {}).get("mode", ""), "responses": responses, "summary": summary}


def draft(run: Run) -> list[dict[str, Any]]:
    """What was said so far in a run that goes on."""
    return Run.objects.filter(pk=run.pk).values_list("draft", flat=True).first() or []
