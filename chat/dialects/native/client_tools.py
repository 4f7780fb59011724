"""The native dialect's door for clients that bring the results of calls which they made themselves."""

from typing import Any
from uuid import UUID

import msgspec
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.models import Actor
from chat.models import Run
from chat.services import actions, client_tools
from chat.services.client_tools import LONGEST_OUTPUT
from core.schema import BODY, GUARDED, problems
from core.serializers import StrictSerializer

MOST_RESULTS = 64


@extend_schema_field(OpenApiTypes.ANY)
class JsonField(serializers.JSONField):
    """Any JSON value."""


class ResultRequest(StrictSerializer):
    """What came of a call."""

    call_id = serializers.CharField(max_length=64)
    output = JsonField(help_text="What the model is told: a text or any other JSON.")
    ok = serializers.BooleanField(default=True, help_text="False: the call failed, and `output` says why.")

    def validate_output(self, value: Any) -> Any:
        """It stays within its size."""
        if len(msgspec.json.encode(value)) > LONGEST_OUTPUT:
            raise serializers.ValidationError(f"This may have {LONGEST_OUTPUT} bytes at most.", code="max_length")
        return value


class ResultsRequest(StrictSerializer):
    """What came of calls that the client made."""

    results = ResultRequest(
        many=True,
        allow_empty=False,
        max_length=MOST_RESULTS,  # type: ignore[call-arg]  # of the list
    )


class ResultsFrame(ResultsRequest):
    """The same over a WebSocket."""

    run_id = serializers.UUIDField()


class CallOut(serializers.Serializer[Any]):
    """A call that the client makes."""

    call_id = serializers.CharField()
    name = serializers.CharField()
    arguments = serializers.DictField()


class ResultsOut(serializers.Serializer[Any]):
    """How the run stands, and what it still waits for."""

    run_id = serializers.UUIDField()
    status = serializers.CharField()
    calls = CallOut(many=True)


EXAMPLE = OpenApiExample(
    "Two results",
    request_only=True,
    value={
        "results": [
            {"call_id": "call_7d1f00aa_1_1", "output": {"latitude": 52.52, "longitude": 13.4}},
            {"call_id": "call_7d1f00aa_1_2", "output": "The person said no.", "ok": False},
        ]
    },
)


def bring(run_id: UUID, said: dict[str, Any], actor: Actor) -> Run:
    """Store the results that a validated body or frame has."""
    results = [client_tools.Result(**one) for one in said["results"]]
    return client_tools.answer(run_id, results, by=actor)


class ToolResultsView(APIView):
    """POST /v1/ai/runs/{id}/tool-results."""

    scope = "chat"
    limit_bucket = "write"

    @extend_schema(
        request=ResultsRequest,
        responses={
            200: ResultsOut,
            **problems(
                *GUARDED,
                *BODY,
                404,
                told={409: "`already_answered` or `run_ended`: `calls` says what stands; nothing was stored."},
            ),
        },
        examples=[EXAMPLE],
        tags=["runs"],
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        """Bring what came of calls that this client makes, each once; with the last of them the run goes on."""
        run = bring(run_id, ResultsRequest.read(request.data), actor_of(request))
        calls = [one.told for one in actions.called(run.pk)]
        return Response({"run_id": run.pk, "status": run.state, "calls": calls})
