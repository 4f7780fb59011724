"""All that is kept of the caller, to take along."""

from collections.abc import AsyncIterator, Iterator

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.permissions import own_key
from approvals.services import audit
from chat.services import exporting
from core import bridge
from core.schema import GUARDED, problems
from core.serializers import QuerySerializer

ENOUGH = 65_536  # bytes that are sent together


class ExportView(APIView):
    """GET /v1/auth/me/export."""

    scope = None  # all of it: no restricted key goes so far
    limit_bucket = "write"  # it reads all there is

    @extend_schema(
        operation_id="auth_me_export",
        responses={
            (200, "application/zip"): OpenApiResponse(OpenApiTypes.BINARY, description="JSON files and images."),
            **problems(*GUARDED),
        },
        tags=["auth"],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """All that your workspace keeps of you: conversations, images, memories, approvals, usage, as one zip."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        own_key(actor)
        chunks = exporting.export(actor.user, [actor.membership], who=audit.person(actor))
        response = StreamingHttpResponse(_streamed(chunks), content_type="application/zip")
        response["Content-Disposition"] = 'attachment; filename="countersign-export.zip"'
        return response


async def _streamed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Some at a time, each time from a thread that has a database connection."""
    while some := await bridge.in_slow_thread(_some, chunks):
        yield some


def _some(chunks: Iterator[bytes]) -> bytes:
    found, size = [], 0
    for chunk in chunks:
        found.append(chunk)
        size += len(chunk)
        if size >= ENOUGH:
            break
    return b"".join(found)
