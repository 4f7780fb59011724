"""The native dialect's inbox: what the caller has not seen, and that they saw it."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from chat.services import inbox
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

MESSAGE = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8060",
    "session_id": "01890a5d-ac96-774b-bcce-b302099a8061",
    "agent": "devops",
    "companion": None,
    "role": "assistant",
    "content": "The disk of web-1 is 92 % full.",
    "created_at": "2026-01-01T12:00:00Z",
}
EXAMPLE = OpenApiExample("Unread", response_only=True, value={"messages": [MESSAGE], "unread": 1, "next_cursor": None})
READ_EXAMPLE = OpenApiExample("All of a session", request_only=True, value={"session_id": MESSAGE["session_id"]})
MARKED_EXAMPLE = OpenApiExample("Marked", response_only=True, value={"marked": 1})


class InboxQuery(QuerySerializer):
    """Which unread answers are listed."""

    agent = serializers.CharField(max_length=60, required=False, help_text="The slug or id of the agent that said it.")
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    cursor = serializers.CharField(max_length=300, required=False, help_text="`next_cursor` of the page before.")


class UnreadOut(serializers.Serializer[inbox.Unread]):
    """An answer that the caller has not seen."""

    id = serializers.UUIDField()
    session_id = serializers.UUIDField()
    agent = serializers.CharField(help_text="The agent's slug.")
    companion = serializers.CharField(
        allow_null=True, help_text="The companion's type; null: a team's answer, or what an agent reported by itself."
    )
    role = serializers.CharField()
    content = serializers.CharField()
    created_at = serializers.DateTimeField()


class InboxOut(serializers.Serializer[inbox.Page]):
    """Unread answers, the newest first."""

    messages = UnreadOut(many=True)
    unread = serializers.IntegerField(help_text=f"All of them; {inbox.MOST} means as many or more.")
    next_cursor = serializers.CharField(allow_null=True)


class InboxRead(StrictSerializer):
    """What was seen: these answers, those of a session or of an agent, or all."""

    message_ids = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=inbox.MOST,
        required=False,
        help_text="Who saw an answer saw those before it in its session.",
    )
    session_id = serializers.UUIDField(required=False)
    agent = serializers.CharField(max_length=60, required=False, help_text="The slug or id of the agent that said it.")
    all = serializers.BooleanField(required=False, help_text="True, and nothing else: everything was seen.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that does not say what was seen."""
        everything = attrs.pop("all", False)
        if everything == bool(attrs):
            raise serializers.ValidationError(f"Send one of {', '.join(self.fields)}: true alone.", code="required")
        return attrs


class MarkedOut(serializers.Serializer[Any]):
    """How many answers were unread and are not any more."""

    marked = serializers.IntegerField()


class InboxView(APIView):
    """GET /v1/ai/inbox."""

    scope = "chat"
    limit_bucket = "read"

    @extend_schema(
        parameters=[InboxQuery],
        responses={200: InboxOut, **problems(*GUARDED)},
        examples=[EXAMPLE],
        tags=["inbox"],
    )
    def get(self, request: Request) -> Response:
        """What the caller has not seen: of their sessions, and of what agents reported to them by themselves."""
        return Response(InboxOut(inbox.page(by=actor_of(request), **InboxQuery.read(request.query_params))).data)


class InboxReadView(APIView):
    """POST /v1/ai/inbox/read."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(
        request=InboxRead,
        responses={200: MarkedOut, **problems(*GUARDED, *BODY, 404)},
        examples=[READ_EXAMPLE, MARKED_EXAMPLE],
        tags=["inbox"],
    )
    def post(self, request: Request) -> Response:
        """Note what the caller saw: these answers, those of a session or of an agent, or all."""
        return Response({"marked": inbox.read(by=actor_of(request), **InboxRead.read(request.data))})
