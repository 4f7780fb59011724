"""What is kept with messages, in the admin: their images, and the summaries that models are told in their place."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from accounts.admin.base import RecordAdmin, RelatedFilter, SinceFilter
from chat.admin.records import plain
from chat.models import Attachment, Compaction
from chat.services import links


@admin.register(Attachment)
class AttachmentAdmin(RecordAdmin):
    """Images that came with messages: what they are, and where the API gives them to those who may see them."""

    list_display = ("id", "media_type", "pixels", "size_text", "workspace", "created_at")
    list_select_related = ("workspace",)
    list_filter = (SinceFilter, "media_type", ("workspace", RelatedFilter))
    ids = ("pk", "conversation", "message")
    search_help_text = "The id of an image, message or conversation"
    fields: ClassVar[Any] = (
        "id", "conversation", "message", "workspace", "media_type", "pixels", "size_text", "sha256", "file", "address",
        "created_at",
    )  # fmt: skip
    readonly_fields = ("id", "pixels", "size_text", "address")

    @admin.display(description="Pixels")
    def pixels(self, image: Attachment) -> str:
        """Its width and height."""
        return f"{image.width} × {image.height}"

    @admin.display(description="Size")
    def size_text(self, image: Attachment) -> str:
        """How large its file is."""
        return filesizeformat(image.size)

    @admin.display(description="In the API")
    def address(self, image: Attachment) -> str:
        """Where the picture is, as text: a browser that is signed in here has no key for it."""
        return f"{links.PATH}{image.pk}"


@admin.register(Compaction)
class CompactionAdmin(RecordAdmin):
    """Summaries of conversations, which their models are told in place of what was said until then."""

    list_display = ("id", "messages", "model", "provider", "workspace", "created_at")
    list_select_related = ("workspace",)
    list_filter = (SinceFilter, ("workspace", RelatedFilter))
    ids = ("pk", "conversation")
    search_help_text = "The id of a summary or conversation"
    fields: ClassVar[Any] = (
        "id", "conversation", "workspace", "messages", "up_to", "text", "model", "provider", "created_at",
    )  # fmt: skip
    readonly_fields = ("id", "text")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The summaries, without what they say."""
        return super().get_queryset(request).defer("content")

    @admin.display(description="Text")
    def text(self, summary: Compaction) -> str:
        """The whole, as plain text."""
        return plain(summary.content)
