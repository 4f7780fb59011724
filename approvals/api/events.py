"""The audit log, below /v1/ai/."""

import json
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from approvals.events import EVENTS
from approvals.models import AuditPayload, AuditSeal
from approvals.services import reading
from core.schema import GUARDED, problems
from core.serializers import QuerySerializer

MOST = 100

APPROVED = {
    "id": "01932f3a-7c5e-7d11-9a60-3c1f0d6b7a01",
    "seq": 4711,
    "type": "approval.approved",
    "actor": {"kind": "person", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "label": "noor@example.org"},
    "on_behalf_of": "01890a5d-ac96-774b-bcce-b302099a8058",
    "target": {"kind": "approval", "id": "01932f3a-7c5e-7d11-9a60-3c1f0d6b7a02"},
    "agent_id": None,
    "session_id": "01932f3a-7c5e-7d11-9a60-3c1f0d6b7a03",
    "data": {"actor": "noor@example.org", "ip": "192.0.2.7", "before": "pending", "after": "approved"},
    "created_at": "2026-01-05T09:02:00.123456Z",
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
EXAMPLE = OpenApiExample("An approval", response_only=True, value={"events": [APPROVED], "next_cursor": None})


class EventsQuery(QuerySerializer):
    """Which events."""

    type = serializers.ChoiceField(choices=sorted(EVENTS), required=False)
    actor = serializers.CharField(max_length=254, required=False, help_text="An id, a person's address, or `system`.")
    agent = serializers.CharField(max_length=60, required=False, help_text="An agent's id or slug.")
    session_id = serializers.UUIDField(required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=MOST, default=20)
    cursor = serializers.CharField(max_length=300, required=False, help_text="The `next_cursor` of the page before.")


class ActedOut(serializers.Serializer[Any]):
    """Who did it; `label` is an agent's name, or a person's address as it was, and empty where that was erased.

    The system has none, unless something of it has a name.
    """

    kind = serializers.ChoiceField(choices=["person", "agent", "system"])
    id = serializers.UUIDField(allow_null=True)
    label = serializers.CharField()  # type: ignore[assignment]  # the name is the contract's, not DRF's property


class TargetOut(serializers.Serializer[Any]):
    """What it was about."""

    kind = serializers.CharField()
    id = serializers.UUIDField()


class EventOut(serializers.Serializer[Any]):
    """One event; until it has its place in the chain, within a second, `seq` and `hash` are null."""

    id = serializers.UUIDField()
    seq = serializers.IntegerField(allow_null=True)
    type = serializers.ChoiceField(choices=sorted(EVENTS))
    actor = ActedOut()
    on_behalf_of = serializers.UUIDField(allow_null=True)
    target = TargetOut(allow_null=True)
    agent_id = serializers.UUIDField(allow_null=True)
    session_id = serializers.UUIDField(allow_null=True)
    data = serializers.DictField(  # type: ignore[assignment]  # likewise
        allow_null=True, help_text="What it tells in full; null once that was erased."
    )
    created_at = serializers.DateTimeField()
    hash = serializers.CharField(allow_null=True)


class EventPage(serializers.Serializer[Any]):
    """A page of the audit log."""

    events = EventOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class EventsView(APIView):
    """GET /v1/ai/events."""

    scope = "audit"
    limit_bucket = "read"

    @extend_schema(
        parameters=[EventsQuery],
        responses={200: EventPage, **problems(*GUARDED)},
        examples=[EXAMPLE],
        operation_id="ai_events_list",
        tags=["audit"],
    )
    def get(self, request: Request) -> Response:
        """The audit log, newest first: the workspace's to those who run it, to others what was done by or for them."""
        page = reading.page(by=actor_of(request), **EventsQuery.read(request.query_params))
        return Response({"events": [_told(event) for event in page.rows], "next_cursor": page.next_cursor})


def _told(event: Any) -> dict[str, Any]:
    payload: AuditPayload | None = getattr(event, "payload", None)
    seal: AuditSeal | None = getattr(event, "seal", None)
    data = _read(payload.data) if payload else None
    label = event.agent_name or (data or {}).get("actor", "")
    return {
        "id": event.pk,
        "seq": seal.seq if seal else None,
        "type": event.type,
        "actor": {"kind": event.actor_kind, "id": event.actor_id, "label": label},
        "on_behalf_of": event.person_id,
        "target": {"kind": event.target_kind, "id": event.target_id} if event.target_id else None,
        "agent_id": event.agent_id,
        "session_id": event.session_id,
        "data": data,
        "created_at": event.at,
        "hash": bytes(seal.hash).hex() if seal else None,
    }


def _read(text: str) -> dict[str, Any]:
    """What an event tells; one that somebody has tampered with spoils no page, and `audit verify` names it."""
    try:
        read = json.loads(text)
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"unreadable": True}
