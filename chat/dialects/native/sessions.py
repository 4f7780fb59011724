"""The native dialect's sessions: list, begin, read, change, delete, watch."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.idempotency import idempotent
from chat.dialects.native import schema
from chat.dialects.native.serializers import (
    DeleteQuery,
    EventsQuery,
    MessageOut,
    SessionChange,
    SessionDetail,
    SessionOut,
    SessionPage,
    SessionQuery,
    SessionRequest,
    SessionsQuery,
    TurnOut,
)
from chat.dialects.native.views import cursor_of, resume
from chat.models import Conversation, Message
from chat.services import conversations, recent
from companions import services as companions
from core.negotiation import AnyAccept
from core.schema import BODY, GUARDED, problems


class SessionsView(APIView):
    """/v1/ai/sessions."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        operation_id="ai_sessions_list",
        parameters=[SessionsQuery],
        responses={200: SessionPage, **problems(*GUARDED)},
        tags=["sessions"],
    )
    def get(self, request: Request) -> Response:
        """The caller's own sessions, most recent first."""
        query = SessionsQuery.read(request.query_params)
        page = conversations.page(
            by=actor_of(request),
            limit=query["limit"],
            offset=query["offset"],
            cursor=query.get("cursor"),
            companion=query.get("companion"),
            words=query.get("q"),
            archived=query.get("archived"),
        )
        return Response(
            {
                "sessions": SessionOut(page.rows, many=True).data,
                "total": page.total,
                "limit": query["limit"],
                "offset": query["offset"],
                "next_cursor": page.next_cursor,
            }
        )

    @extend_schema(
        request=SessionRequest,
        responses={201: SessionOut, **problems(*GUARDED, *BODY, 404, 409)},
        tags=["sessions"],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Begin a session in which nothing is said yet."""
        body = SessionRequest.read(request.data)
        companion = companions.find(actor_of(request), body["companion"])
        made = conversations.create(companion, by=actor_of(request), title=body.get("title", ""))
        return Response(SessionOut(made).data, status=201)


class SessionView(APIView):
    """/v1/ai/sessions/{id}."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        parameters=[SessionQuery], responses={200: SessionDetail, **problems(*GUARDED, 404)}, tags=["sessions"]
    )
    def get(self, request: Request, session_id: UUID) -> Response:
        """The session with its messages, oldest first, and the runs behind them."""
        query = SessionQuery.read(request.query_params)
        found = conversations.get(session_id, by=actor_of(request))
        if query["newest"]:
            return Response(newest(found, limit=query["limit"], before=query.get("cursor")))
        said, more = conversations.messages(found, limit=query["limit"], after=query.get("cursor"))
        return Response(detail(found, said, said[-1].pk if more else None))

    @extend_schema(
        request=SessionChange, responses={200: SessionOut, **problems(*GUARDED, *BODY, 404)}, tags=["sessions"]
    )
    def patch(self, request: Request, session_id: UUID) -> Response:
        """Rename the session, archive it or bring it back."""
        body = SessionChange.read(request.data)
        found = conversations.get(session_id, by=actor_of(request))
        return Response(SessionOut(conversations.change(found, **body)).data)

    @extend_schema(parameters=[DeleteQuery], responses={204: None, **problems(*GUARDED, 404)}, tags=["sessions"])
    def delete(self, request: Request, session_id: UUID) -> HttpResponse:
        """Delete the session with its messages and runs, with `forget` its memories too; a run is stopped."""
        forget = DeleteQuery.read(request.query_params)["forget"]
        actor = actor_of(request)
        conversations.delete(conversations.get(session_id, by=actor), by=actor, forget=forget)
        return Response(status=204)


def newest(found: Conversation, *, limit: int, before: UUID | None = None) -> dict[str, Any]:
    """The session with its newest messages, or the newest of those before one."""
    said, more = recent.messages(found, limit=limit, before=before)
    return detail(found, said, said[0].pk if said and more else None)


def detail(found: Conversation, said: list[Message], next_cursor: UUID | None) -> dict[str, Any]:
    """The session with these messages."""
    active = found.runs.filter(active=True).values_list("pk", flat=True).first()
    return {
        **SessionOut(found).data,
        "messages": MessageOut(said, many=True).data,
        "turns": TurnOut(recent.runs(found, said), many=True).data,
        "active_run_id": str(active) if active else None,
        "next_cursor": str(next_cursor) if next_cursor else None,
    }


class SessionStreamView(APIView):
    """/v1/ai/sessions/{id}/stream."""

    scope = "chat"
    limit_bucket = "read"
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[EventsQuery, schema.LAST_EVENT_ID],
        responses={**schema.SSE, 204: None, **problems(*GUARDED, 404)},
        tags=["sessions"],
    )
    def get(self, request: Request, session_id: UUID) -> HttpResponseBase:
        """The events of the session's active run, replayed and then live; 204 where no run is active."""
        cursor = cursor_of(request)
        found: Conversation = conversations.get(session_id, by=actor_of(request))
        active = found.runs.select_related("conversation").filter(active=True).first()
        return resume(active, cursor) if active else Response(status=204)
