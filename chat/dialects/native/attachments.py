"""The native dialect's attachments: the images of messages, for those who see the conversation."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import Actor
from accounts.permissions import HasWorkspace
from chat.services import attachments, links
from core.negotiation import AnyAccept
from core.schema import GUARDED, problems
from core.serializers import QuerySerializer

POLICY = "default-src 'none'; sandbox"
FILE = OpenApiResponse(OpenApiTypes.BINARY, "The image, as it is kept.")


class AttachmentQuery(QuerySerializer):
    """What opens an image without a key."""

    signature = serializers.CharField(
        max_length=100, required=False, help_text="As the `url` of the message's part has it; it opens for a while."
    )


class KeyOrSignature(HasWorkspace):
    """Admits callers as HasWorkspace does, and without a key whoever brings a signature; the view looks at that."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or raises Unauthorized or a kind of Forbidden."""
        signature = request.query_params.get("signature")
        if signature is None or (_actor(request) and not links.opens(UUID(view.kwargs["attachment_id"]), signature)):
            return super().has_permission(request, view)
        return True


class AttachmentView(APIView):
    """GET /v1/ai/attachments/{id}."""

    scope = "chat"
    limit_bucket = "read"
    content_negotiation_class = AnyAccept
    permission_classes = (KeyOrSignature,)

    @extend_schema(
        parameters=[AttachmentQuery],
        responses={**{(200, media_type): FILE for media_type in attachments.ENDINGS}, **problems(*GUARDED, 404)},
        tags=["sessions"],
    )
    def get(self, request: Request, attachment_id: str) -> HttpResponse:
        """An image of a message of the caller's own, or of anybody's whose message told its address a while ago."""
        said = AttachmentQuery.read(request.query_params)
        found, data = attachments.get(UUID(attachment_id), by=_actor(request), signature=said.get("signature", ""))
        name = f"{found.pk}.{attachments.ENDINGS[found.media_type]}"
        headers = {
            "Content-Disposition": f'inline; filename="{name}"',
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        return HttpResponse(data, content_type=found.media_type, headers=headers)


def _actor(request: Request) -> Actor | None:
    """The caller, if they came with a credential."""
    actor: Any = request.user
    return actor if isinstance(actor, Actor) else None
