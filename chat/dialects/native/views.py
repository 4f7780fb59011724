"""The native dialect's chat and runs: a message in, a run begun, its events out."""

from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import idempotency
from accounts.authentication import actor_of
from agents.events import Event, RunCompleted, RunFailed, RunWaiting
from chat import stream
from chat.dialects.native import inbound, schema
from chat.dialects.native.encoder import error_frame, to_sse
from chat.dialects.native.serializers import (
    CancelOut,
    ChatRequest,
    EventsQuery,
    MessageOut,
    MessageRequest,
    RunOut,
)
from chat.eventlog import feed
from chat.following import Numbered, follow
from chat.models import Message, Run
from chat.services import runs
from core import bridge
from core.errors import DomainError, Invalid
from core.negotiation import AnyAccept

FAULT = error_frame("internal_error", "The stream broke off by a fault of ours; resume it.", retryable=True)


class RunError(DomainError):
    """A run that ended without an answer, as the status and code of its error."""

    title = "The answer failed"

    def __init__(self, event: RunFailed, run: Run) -> None:
        super().__init__(
            event.message,
            extra={
                "run_id": str(run.pk),
                "session_id": str(run.conversation_id),
                "retryable": event.retryable,
            },
        )
        self.code = event.code  # type: ignore[misc]
        self.status = STATUS_OF.get(event.code, 502)  # type: ignore[misc]


STATUS_OF = {
    "unknown_model": 404,
    "brain_unavailable": 503,
    "provider_unavailable": 503,
    "provider_rate_limited": 503,
    "first_token_timeout": 504,
    "stalled": 504,
    "turn_too_long": 504,
    "deleted": 404,
    "internal_error": 503,
    "gave_up": 503,
}
"""HTTP statuses of failed runs where an answer is waited for; any other failure is the provider's: 502."""


class ChatView(APIView):
    """POST /v1/ai/chat: say something to a companion."""

    scope = "chat"
    limit_bucket = "chat"
    body_limit = 12_000_000
    content_negotiation_class = AnyAccept
    request_serializer: type[MessageRequest] = ChatRequest

    @extend_schema(request=ChatRequest, responses=schema.CHAT, examples=schema.CHAT_EXAMPLES, tags=["chat"])
    def post(self, request: Request) -> HttpResponseBase:
        """Say something to a companion; the answer comes as one JSON body or as server-sent events."""
        body = self.request_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        said = body.validated_data
        return self.answer(request, said, said.get("companion"))

    def answer(self, request: Request, said: dict[str, Any], companion_type: str | None) -> HttpResponseBase:
        """Begin the run and serve it as the caller asked."""
        actor = actor_of(request)
        streamed = said["stream"] or "text/event-stream" in request.headers.get("Accept", "")
        wait = said.get("wait", inbound.STREAM_WAIT if streamed else 0.0)
        serve = serve_stream if streamed else serve_answer
        with idempotency.claimed(request) as claim:
            if isinstance(claim, idempotency.Replay):
                run = runs.get(claim.response["run_id"], by=actor)
                response = serve(run, follow(str(run.pk), wait=wait))
                response["Idempotency-Replayed"] = "true"
                return response
            conversation = inbound.find_conversation(actor, said.get("session_id"), companion_type)
            run, watch = inbound.begin(actor, said, conversation, also=keep(claim))
        response = serve(run, follow(str(run.pk), watch=watch, wait=wait))
        stream.release_with(response, lambda: feed.unwatch(str(run.pk), watch))
        return response


class CompanionChatView(ChatView):
    """POST /v1/ai/companion/{type}/chat: the same, with the companion in the path."""

    request_serializer = MessageRequest

    @extend_schema(request=MessageRequest, responses=schema.CHAT, tags=["chat"])
    def post(self, request: Request, type: str = "") -> HttpResponseBase:
        """Say something to the companion of this type."""
        body = self.request_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        return self.answer(request, body.validated_data, type)


class RunView(APIView):
    """GET /v1/ai/runs/{id}."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(responses={200: RunOut, **schema.PROBLEMS}, tags=["runs"])
    def get(self, request: Request, run_id: UUID) -> Response:
        """How a run stands."""
        return Response(RunOut(runs.get(run_id, by=actor_of(request))).data)


class RunEventsView(APIView):
    """GET /v1/ai/runs/{id}/events."""

    scope = "chat"
    limit_bucket = "read"
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[EventsQuery, schema.LAST_EVENT_ID],
        responses={**schema.SSE, **schema.PROBLEMS},
        tags=["runs"],
    )
    def get(self, request: Request, run_id: UUID) -> HttpResponseBase:
        """The run's events, replayed after the given number and then live, as server-sent events."""
        run = runs.get(run_id, by=actor_of(request))
        return resume(run, request)


class RunCancelView(APIView):
    """POST /v1/ai/runs/{id}/cancel."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(request=None, responses={202: CancelOut, **schema.PROBLEMS}, tags=["runs"])
    def post(self, request: Request, run_id: UUID) -> Response:
        """Ask that the run stop; what it had said is kept. A run that has ended stays as it is."""
        run = runs.get(run_id, by=actor_of(request))
        runs.cancel(run, by=actor_of(request))
        run.refresh_from_db(fields=["state"])
        return Response({"run_id": run.pk, "status": run.state}, status=202)


def keep(claim: idempotency.Claim | None) -> Callable[[Run], None] | None:
    """Keeps a run as the answer to its request's `Idempotency-Key`, in the transaction that starts it."""
    return None if claim is None else lambda run: idempotency.complete(claim, 200, {"run_id": str(run.pk)})


def serve_stream(run: Run, batches: AsyncGenerator[list[Numbered]], *, after: int = 0) -> HttpResponseBase:
    """The run's events as SSE, the session first."""
    encode = inbound.encoder(run)
    return stream.sse(batches, encode, first=to_sse(after, encode.session()), fault=FAULT)


def serve_answer(run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The run's end as one JSON body."""

    async def render(last: Event) -> tuple[int, Any]:
        if isinstance(last, RunFailed):
            raise RunError(last, run)
        return await bridge.in_thread(answer_body, run, last)

    return stream.answer(batches, render)


def answer_body(run: Run, last: Event) -> tuple[int, dict[str, Any]]:
    """The status and the JSON body of a run that ended, or that waits for approval, with this event."""
    waiting = isinstance(last, RunWaiting)
    message_id = getattr(last, "message_id", None)
    message = Message.objects.filter(pk=message_id).first() if message_id else None
    status = "awaiting_approval" if waiting else "completed" if isinstance(last, RunCompleted) else "cancelled"
    return 202 if waiting else 200, {
        "response": getattr(last, "text", ""),
        "message": MessageOut(message).data if message else None,
        "session_id": str(run.conversation_id),
        "run_id": str(run.pk),
        "status": status,
        "companion": run.companion_type,
        "model": message.model if message else run.model,
        "provider": message.provider if message else run.provider,
        "usage": message.usage if message else None,
        "approvals": last.approvals if isinstance(last, RunWaiting) else [],
    }


def cursor_of(request: Request) -> int:
    """The number after which the caller wants to go on: `?after=`, else `Last-Event-ID`, else the beginning."""
    query = EventsQuery.read(request.query_params)
    if "after" in query:
        return int(query["after"])
    header = request.headers.get("Last-Event-ID", "").strip()
    if header and not (header.isascii() and header.isdigit() and len(header) < 17):
        raise Invalid.field("Last-Event-ID", "This must be the id of an event of the stream.")
    return int(header or 0)


def resume(run: Run, request: Request) -> HttpResponseBase:
    """The run's events after the caller's cursor; raises Invalid for a cursor that no event of the run can have."""
    after = cursor_of(request)
    if after > inbound.highest_cursor(run):
        raise Invalid.field("Last-Event-ID", "No event of this run has this number.", "bad_cursor")
    return serve_stream(run, follow(str(run.pk), after=after, wait=inbound.STREAM_WAIT), after=after)
