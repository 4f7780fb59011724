"""The native dialect's attachments: the images of messages, for those who see the conversation."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.authentication import actor_of
from chat.services import attachments
from core.negotiation import AnyAccept
from core.schema import GUARDED, problems
from core.serializers import QuerySerializer

POLICY = "default-src 'none'; sandbox"
FILE = OpenApiResponse(OpenApiTypes.BINARY, "The image, as it is kept.")


class AttachmentView(APIView):
    """GET /v1/ai/attachments/{id}."""

    scope = "chat"
    limit_bucket = "read"
    content_negotiation_class = AnyAccept

    @extend_schema(
        responses={**{(200, media_type): FILE for media_type in attachments.ENDINGS}, **problems(*GUARDED, 404)},
        tags=["sessions"],
    )
    def get(self, request: Request, attachment_id: UUID) -> HttpResponse:
        """An image of a message of the caller's own."""
        QuerySerializer.read(request.query_params)
        found, data = attachments.get(attachment_id, by=actor_of(request))
        name = f"{found.pk}.{attachments.ENDINGS[found.media_type]}"
        headers = {
            "Content-Disposition": f'inline; filename="{name}"',
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        return HttpResponse(data, content_type=found.media_type, headers=headers)
