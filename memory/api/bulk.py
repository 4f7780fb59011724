"""Doors to all of a person's memories at once: forget, export, import."""

from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import actor_of
from core import bridge
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer
from memory.api.serializers import COMPANION
from memory.api.views import NO_COMPANION, MemoryView, companion_of
from memory.services import forgetting, portability

LINE = {
    "kind": "note",
    "layer": "preferences",
    "type": "coffee",
    "content": "Black, no sugar.",
    "companion_type": "smart-home",
    "said_at": "2026-01-01T12:00:00+00:00",
}
FORGET_EXAMPLE = OpenApiExample(
    "Of one conversation", request_only=True, value={"session_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
)
FORGOTTEN_EXAMPLE = OpenApiExample("Forgotten", response_only=True, value={"forgotten": 12})
NOTHING = {404: "`unknown_companion`, or `unknown_session`: nothing comes from that session"}
IMPORT_EXAMPLE = OpenApiExample("A preference", request_only=True, value={"memories": [LINE]})
IMPORTED_EXAMPLE = OpenApiExample("Imported", response_only=True, value={"added": 1, "same": 0, "refused": []})


class Forget(StrictSerializer):
    """What is forgotten; what is said here narrows it together."""

    since = serializers.DateTimeField(required=False, help_text="What was said from then on.")
    until = serializers.DateTimeField(required=False, help_text="What was said before.")
    companion_type = serializers.SlugField(max_length=60, required=False, help_text="What is kept with this one.")
    session_id = serializers.UUIDField(required=False, help_text="What was said in this session or drawn from it.")
    all = serializers.BooleanField(required=False, help_text="Everything, where nothing else narrows it.")
    keep_transcript = serializers.BooleanField(
        required=False, help_text="Leave the messages in their sessions: they are recalled no more."
    )


class ForgottenOut(serializers.Serializer[dict[str, Any]]):
    """How many memories went."""

    forgotten = serializers.IntegerField()


class ExportQuery(QuerySerializer):
    """What is exported, and how."""

    companion_type = COMPANION
    # `format` would be taken by the framework.
    to = serializers.ChoiceField(choices=["jsonl", "markdown"], default="jsonl")


class Import(StrictSerializer):
    """Memories to store, as the export has them, and messages of old conversations (`kind` message)."""

    companion_type = COMPANION
    memories = serializers.ListField(
        child=serializers.JSONField(),  # what is no memory is refused by itself
        min_length=1,
        max_length=portability.MOST_AT_ONCE,
        help_text="In parts, if more.",
    )


class RefusedOut(serializers.Serializer[dict[str, Any]]):
    """A memory that was not taken."""

    index = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ImportedOut(serializers.Serializer[Any]):
    """What became of an import."""

    added = serializers.IntegerField()
    same = serializers.IntegerField(help_text="They were there already.")
    refused = RefusedOut(many=True)


class ForgetView(MemoryView):
    """POST /v1/ai/memory/forget."""

    @extend_schema(
        request=Forget,
        responses={200: ForgottenOut, **problems(*GUARDED, *BODY, told={**NOTHING, 409: "`still_told`"})},
        examples=[FORGET_EXAMPLE, FORGOTTEN_EXAMPLE],
        tags=["memory"],
    )
    def post(self, request: Request) -> Response:
        """Forget for good what a companion, a session or a time has of you, or everything."""
        actor, body = actor_of(request), Forget.read(request.data)
        companion = companion_of(actor, body.pop("companion_type", None))
        everything = body.pop("all", False)
        count = forgetting.forget_all(actor, companion=companion, everything=everything, **body)
        return Response(ForgottenOut({"forgotten": count}).data)


class ExportView(MemoryView):
    """GET /v1/ai/memory/export."""

    limit_bucket = "write"  # it reads all there is

    @extend_schema(
        parameters=[ExportQuery],
        responses={
            (200, "application/jsonl"): OpenApiResponse(OpenApiTypes.STR, description="One memory a line."),
            (200, "text/markdown"): OpenApiResponse(OpenApiTypes.STR, description="To read."),
            **problems(*GUARDED, told=NO_COMPANION),
        },
        tags=["memory"],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """All that is remembered of you, as JSON Lines or Markdown."""
        query, actor = ExportQuery.read(request.query_params), actor_of(request)
        told = portability.export(actor, companion=companion_of(actor, query.get("companion_type")))
        markdown = query["to"] == "markdown"
        lines = portability.as_markdown(told) if markdown else portability.as_lines(told)
        kind, name = ("text/markdown", "memories.md") if markdown else ("application/jsonl", "memories.jsonl")
        response = StreamingHttpResponse(_streamed(lines), content_type=f"{kind}; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


async def _streamed(lines: Iterator[str]) -> AsyncIterator[bytes]:
    """The lines some at a time, each time from a thread that has a database connection."""
    while some := await bridge.in_slow_thread(_some, lines):
        yield some


def _some(lines: Iterator[str]) -> bytes:
    return "".join(islice(lines, portability.PAGE)).encode()


class ImportView(MemoryView):
    """POST /v1/ai/memory/import."""

    @extend_schema(
        request=Import,
        responses={200: ImportedOut, **problems(*GUARDED, *BODY, told=NO_COMPANION)},
        examples=[IMPORT_EXAMPLE, IMPORTED_EXAMPLE],
        tags=["memory"],
    )
    def post(self, request: Request) -> Response:
        """Store memories of an export or messages of old conversations; what is there already is not stored twice."""
        actor, body = actor_of(request), Import.read(request.data)
        companion = companion_of(actor, body.get("companion_type"))
        return Response(ImportedOut(portability.load(actor, body["memories"], companion=companion)).data)
