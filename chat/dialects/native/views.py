"""The native dialect's chat and runs: a message in, a run begun, its events out."""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any
from uuid import UUID

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
from chat.dialects.ends import Ended
from chat.dialects.native import inbound, schema
from chat.dialects.native.encoder import error_frame, to_sse
from chat.dialects.native.serializers import (
    CancelOut,
    ChatRequest,
    EventsQuery,
    MessageRequest,
    RunOut,
)
from chat.dialects.responding import Serve
from chat.following import Numbered, follow
from chat.models import Conversation, Run
from chat.services import replacing, runs, saying
from chat.stream import Fold
from core.errors import Invalid
from core.negotiation import AnyAccept
from core.schema import GUARDED, problems
from core.serializers import QuerySerializer

FAULT = error_frame("internal_error", "The stream broke off by a fault of ours; resume it.", retryable=True)


MESSAGE = ("id", "role", "content", "parts", "created_at")
"""What an answer's body tells of its message."""


class ChatView(APIView):
    """POST /v1/ai/chat: say something to a companion."""

    scope = "chat"
    limit_bucket = "chat"
    body_limit = settings.BODY_LIMIT_IMAGES
    content_negotiation_class = AnyAccept
    request_serializer: type[MessageRequest] = ChatRequest

    @extend_schema(request=ChatRequest, responses=schema.CHAT, examples=schema.CHAT_EXAMPLES, tags=["chat"])
    def post(self, request: Request) -> HttpResponseBase:
        """Say something to a companion; the answer comes as one JSON body or as server-sent events."""
        said = self.request_serializer.read(request.data)
        return self.answer(request, said, said.get("companion"))

    def answer(self, request: Request, said: dict[str, Any], companion_type: str | None) -> HttpResponseBase:
        """Begin the run and serve it as the caller asked."""
        conversation = partial(saying.find_conversation, actor_of(request), said.get("session_id"), companion_type)
        return self.respond(request, said, conversation, serve_answer)

    def respond(
        self, request: Request, said: dict[str, Any], find: Callable[[], Conversation], answered: Serve
    ) -> HttpResponseBase:
        """Begin a run in the conversation that is found, unless the request came before; `answered` serves it whole."""
        streamed = said["stream"] or "text/event-stream" in request.headers.get("Accept", "")
        wait = said.get("wait", saying.STREAM_WAIT if streamed else 0.0)
        for_client = said.get("wait", 0.0) if streamed else 0.0  # a body tells the calls only when it ends
        serve = serve_stream if streamed else answered
        replaced = said.get("replaces")
        also = partial(replacing.replace_last, message_id=replaced, by=actor_of(request)) if replaced else None
        return responding.respond(
            request, inbound.said_of(said), find, serve, wait=wait, wait_for_client=for_client, also=also
        )


class CompanionChatView(ChatView):
    """POST /v1/ai/companion/{type}/chat: the same, with the companion in the path."""

    request_serializer = MessageRequest

    @extend_schema(request=MessageRequest, responses=schema.CHAT, tags=["chat"])
    def post(self, request: Request, type: str = "") -> HttpResponseBase:
        """Say something to the companion of this type."""
        return self.answer(request, self.request_serializer.read(request.data), type)


class RunView(APIView):
    """GET /v1/ai/runs/{id}."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(responses={200: RunOut, **problems(*GUARDED, 404)}, tags=["runs"])
    def get(self, request: Request, run_id: UUID) -> Response:
        """How a run stands."""
        QuerySerializer.read(request.query_params)
        return Response(RunOut(runs.get(run_id, by=actor_of(request))).data)


class RunEventsView(APIView):
    """GET /v1/ai/runs/{id}/events."""

    scope = "chat"
    limit_bucket = "read"
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[EventsQuery, schema.LAST_EVENT_ID],
        responses={**schema.SSE, **problems(*GUARDED, 404)},
        tags=["runs"],
    )
    def get(self, request: Request, run_id: UUID) -> HttpResponseBase:
        """The run's events, replayed after the given number and then live, as server-sent events."""
        cursor = cursor_of(request)
        return resume(runs.get(run_id, by=actor_of(request)), cursor)


class RunCancelView(APIView):
    """POST /v1/ai/runs/{id}/cancel."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(request=None, responses={202: CancelOut, **problems(*GUARDED, 404)}, tags=["runs"])
    def post(self, request: Request, run_id: UUID) -> Response:
        """Ask that the run stop; what it had said is kept. A run that has ended stays as it is."""
        run = runs.get(run_id, by=actor_of(request))
        runs.cancel(run, by=actor_of(request))
        return Response({"run_id": run.pk, "status": runs.get(run_id, by=actor_of(request)).state}, status=202)


def serve_stream(run: Run, batches: AsyncGenerator[list[Numbered]], *, after: int = 0) -> HttpResponseBase:
    """The run's events as SSE, the session first."""
    encode = inbound.encoder(run)
    return stream.sse(batches, encode, first=to_sse(after, encode.session()), fault=FAULT)


def serve_answer(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The run's end as one JSON body."""

    async def render(fold: Fold) -> tuple[int, Any]:
        last = ends.of(fold, run)
        body = answer_body(run, last, await ends.message(fold, last))
        if not isinstance(last, RunWaiting):
            return 200, body
        return 202, {**body, "calls": last.calls} if last.calls else body

    return stream.answer(batches, render)


def answer_body(run: Run, last: Ended, message: dict[str, Any] | None) -> dict[str, Any]:
    """The JSON body of a run that ended, or that waits, with who answered in the end."""
    return {
        "response": last.text,
        "message": {name: message[name] for name in MESSAGE} if message else None,
        "session_id": str(run.conversation_id),
        "run_id": str(run.pk),
        "status": ends.standing(last),
        "companion": run.companion_type,
        "model": last.model or run.model,
        "provider": last.provider or run.provider,
        "usage": message["usage"] if message else None,
        "approvals": list(ends.approvals(last)),
    }


def cursor_of(request: Request) -> tuple[int, str]:
    """The number after which to go on, and what it was sent by: `?after=`, else `Last-Event-ID`, else the beginning."""
    query = EventsQuery.read(request.query_params)
    if "after" in query:
        return query["after"], "after"
    header = request.headers.get("Last-Event-ID", "").strip()
    if header and not (header.isascii() and header.isdigit() and len(header) < 17):
        raise Invalid.field("Last-Event-ID", "This must be the id of an event of the stream.")
    return int(header or 0), "Last-Event-ID"


def resume(run: Run, cursor: tuple[int, str]) -> HttpResponseBase:
    """The run's events after the caller's cursor; raises Invalid for a cursor that no event of the run can have."""
    after, sent_by = cursor
    if after > inbound.highest_cursor(run):
        raise Invalid.field(sent_by, "No event of this run has this number.", "bad_cursor")
    return serve_stream(run, follow(str(run.pk), after=after, wait=saying.STREAM_WAIT), after=after)
