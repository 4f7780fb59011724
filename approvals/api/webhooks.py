"""Doors to the workspace's outgoing webhook, below /v1/ai/: how it is set, and what was delivered."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from approvals.models import OutboxItem, WebhookEndpoint
from approvals.services import webhooks
from core.guarded import LONGEST_URL
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

URL = "https://hooks.example.org/countersign"
CONFIG = {
    "url": URL,
    "events": ["approval.requested", "approval.decided"],
    "enabled": True,
    "disabled_reason": "",
    "failing_since": None,
    "created_at": "2026-01-05T09:00:00Z",
    "updated_at": "2026-01-05T09:00:00Z",
    "secret": None,
}
NOTHING: dict[str, Any] = {**dict.fromkeys(CONFIG), "events": [], "enabled": False, "disabled_reason": ""}
DELIVERY = {
    "id": "01932f3a-7c5e-7d11-9a60-3c1f0d6b7a05",
    "type": "approval.requested",
    "status": "delivered",
    "attempts": 2,
    "status_code": 204,
    "error": "",
    "created_at": "2026-01-05T09:00:00Z",
    "delivered_at": "2026-01-05T09:00:06Z",
    "next_attempt_at": None,
}


class WebhookIn(StrictSerializer):
    """The webhook as it is to be; what is left out has its default."""

    url = serializers.CharField(
        max_length=LONGEST_URL,
        help_text="http or https, a public host, port 80 or 443; redirects are not followed.",
    )
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=webhooks.EVENTS),
        max_length=len(webhooks.EVENTS),
        default=list,
        help_text="Which events are told; empty: all.",
    )
    enabled = serializers.BooleanField(default=True)
    rotate_secret = serializers.BooleanField(default=False, help_text="Make a new secret; the old one signs no more.")


class WebhookOut(serializers.ModelSerializer[WebhookEndpoint]):
    """The webhook; `url` is null where none was set."""

    url = serializers.CharField(allow_null=True)
    events = serializers.ListField(child=serializers.ChoiceField(choices=webhooks.EVENTS))
    disabled_reason = serializers.CharField(help_text="Why it was switched off, where nobody did so.")
    created_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)
    secret = serializers.SerializerMethodField(
        help_text="The signing secret, `whsec_…`, in the one answer that tells of it; else null."
    )

    class Meta:
        model = WebhookEndpoint
        fields = (
            "url", "events", "enabled", "disabled_reason", "failing_since", "created_at", "updated_at", "secret",
        )  # fmt: skip
        read_only_fields = fields

    def get_secret(self, endpoint: WebhookEndpoint) -> str | None:
        """The secret that was made just now."""
        secret: str | None = self.context.get("secret")
        return secret


class DeliveriesQuery(QuerySerializer):
    """Which deliveries are listed."""

    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    cursor = serializers.UUIDField(required=False, help_text="The `next_cursor` of the page before.")


class DeliveryOut(serializers.ModelSerializer[OutboxItem]):
    """One event and what became of it; its `id` is the `webhook-id` of all its attempts."""

    status = serializers.SerializerMethodField()
    delivered_at = serializers.DateTimeField(source="done_at", allow_null=True)
    next_attempt_at = serializers.SerializerMethodField()

    class Meta:
        model = OutboxItem
        fields = (
            "id", "type", "status", "attempts", "status_code", "error", "created_at", "delivered_at", "next_attempt_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=["pending", "delivered", "failed"]))
    def get_status(self, item: OutboxItem) -> str:
        """How it stands."""
        return "delivered" if item.done_at else "failed" if item.failed_at else "pending"

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, item: OutboxItem) -> str | None:
        """When it is tried next."""
        pending = not (item.done_at or item.failed_at)
        return serializers.DateTimeField().to_representation(item.not_before) if pending else None


class DeliveriesOut(serializers.Serializer[Any]):
    """A page of deliveries."""

    deliveries = DeliveryOut(many=True)
    next_cursor = serializers.UUIDField(allow_null=True)


class WebhookConfigView(APIView):
    """/v1/ai/webhooks/config."""

    scope = "admin"

    @extend_schema(
        responses={200: WebhookOut, **problems(*GUARDED, told={403: "`role_required`: only an admin may see it."})},
        examples=[OpenApiExample("Set", response_only=True, value=CONFIG)],
        tags=["webhooks"],
    )
    def get(self, request: Request) -> Response:
        """Where the workspace is told of its approvals."""
        QuerySerializer.read(request.query_params)
        endpoint = webhooks.current(by=actor_of(request))
        return Response(WebhookOut(endpoint).data if endpoint else NOTHING)

    @extend_schema(
        request=WebhookIn,
        responses={
            200: WebhookOut,
            **problems(
                *GUARDED,
                *BODY,
                told={
                    400: "`url_refused`: the address is not public; or something does not fit.",
                    403: "`role_required`: only an admin may set it.",
                },
            ),
        },
        examples=[
            OpenApiExample("Set it", request_only=True, value={"url": URL, "events": CONFIG["events"]}),
            OpenApiExample("It was set", response_only=True, value={**CONFIG, "secret": "whsec_MfKQ9r8GKYqrTwjU…"}),
        ],
        tags=["webhooks"],
    )
    def put(self, request: Request) -> Response:
        """Say where the workspace is told; the first time, and whenever asked, the answer holds a new secret."""
        endpoint, secret = webhooks.configure(by=actor_of(request), **WebhookIn.read(request.data))
        return Response(WebhookOut(endpoint, context={"secret": secret}).data)


class WebhookDeliveriesView(APIView):
    """GET /v1/ai/webhooks/deliveries."""

    scope = "admin"

    @extend_schema(
        parameters=[DeliveriesQuery],
        responses={
            200: DeliveriesOut,
            **problems(*GUARDED, told={403: "`role_required`: only managers, auditors and admins may see them."}),
        },
        examples=[OpenApiExample("One", response_only=True, value={"deliveries": [DELIVERY], "next_cursor": None})],
        tags=["webhooks"],
    )
    def get(self, request: Request) -> Response:
        """What was delivered to the webhook and what is to be, the newest first, of the last 30 days."""
        query = DeliveriesQuery.read(request.query_params)
        rows, following = webhooks.deliveries(by=actor_of(request), limit=query["limit"], before=query.get("cursor"))
        return Response({"deliveries": DeliveryOut(rows, many=True).data, "next_cursor": following})
