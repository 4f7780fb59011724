"""The assistant dialect's chat: a message in, an answer or a stream out."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from agents.events import RunWaiting
from chat import stream
from chat.dialects import ends, responding
from chat.dialects.assistant import inbound, schema
from chat.dialects.assistant.encoder import WAITS, Encoder, spoken
from chat.dialects.assistant.serializers import AssistantDoneOut, AssistantMessageIn
from chat.following import Numbered
from chat.models import Run
from chat.services import picking, saying
from chat.stream import Fold
from core.negotiation import AnyAccept


class ChatView(APIView):
    """POST /api/chat."""

    scope = "chat"
    limit_bucket = "chat"
    body_limit = settings.BODY_LIMIT_IMAGES
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="assistant_chat",
        request=AssistantMessageIn,
        responses=schema.CHAT,
        examples=schema.CHAT_EXAMPLES,
        tags=["assistant"],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Say something; the answer comes at once, or with `Accept: text/event-stream` as server-sent events."""
        return answer(request, streamed="text/event-stream" in request.headers.get("Accept", ""))


class StreamView(ChatView):
    """POST /api/chat/stream."""

    @extend_schema(
        operation_id="assistant_chat_stream",
        request=AssistantMessageIn,
        responses=schema.STREAM,
        examples=schema.CHAT_EXAMPLES,
        tags=["assistant"],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Say something; the answer comes as server-sent events."""
        return answer(request, streamed=True)


class HealthView(APIView):
    """GET /api/health."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @extend_schema(
        operation_id="assistant_health",
        responses={200: AssistantDoneOut},
        examples=[schema.OK_EXAMPLE],
        auth=[],
        tags=["assistant"],
    )
    def get(self, request: Request) -> Response:
        """Whether this process answers."""
        return Response({"ok": True})


def answer(request: Request, *, streamed: bool) -> HttpResponseBase:
    """Begin the run that answers the message, and serve it as the caller asked."""
    body = inbound.read(request.data)
    find = partial(
        picking.conversation,
        actor_of(request),
        session_id=body.get("conversation_id"),
        whom=body.get("agent_id", ""),
        channel=body["channel"],
    )
    serve, wait = (serve_stream, saying.STREAM_WAIT) if streamed else (serve_answer, 0.0)
    with inbound.image():
        return responding.respond(request, inbound.said_of(body), find, serve, wait=wait)


def serve_stream(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The run's events as SSE, `meta` first."""
    encode = Encoder(conversation_id=str(run.conversation_id), run_id=str(run.pk), provider=run.provider)
    return stream.sse(stream.until(batches, lambda: encode.ended), encode, first=encode.meta(), fault=encode.fault())


def serve_answer(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The run's end as one JSON body."""

    async def render(fold: Fold) -> tuple[int, Any]:
        last = ends.of(fold, run)
        conversation_id, provider = str(run.conversation_id), spoken(last.provider or run.provider)
        body = {"reply": last.text, "conversation_id": conversation_id, "provider": provider}
        if not isinstance(last, RunWaiting):
            return 200, body
        return 202, {**body, "reply": last.text or WAITS, "status": ends.standing(last), "approvals": last.approvals}

    return stream.answer(batches, render)
