"""Invitations in the admin: to be read. They are sent and taken back in the console."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin.base import RecordAdmin, RelatedFilter, badge
from accounts.models import Invitation

STATES = {"open": "info", "accepted": "success", "revoked": "warning", "too old": "warning"}


@admin.register(Invitation)
class InvitationAdmin(RecordAdmin):
    """Who was asked to join which workspace, and what came of it."""

    list_display = ("email", "role", "state", "invited_by", "sent_at", "expires_at", "workspace")
    list_select_related = ("invited_by", "workspace")
    list_filter = ("role", ("workspace", RelatedFilter))
    fields: ClassVar[Any] = (
        "workspace", "email", "role", "state", "invited_by", "sent_at", "expires_at", "accepted_at", "revoked_at",
        "created_at",
    )  # fmt: skip
    readonly_fields = ("state",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The invitations, without the hashes of their links."""
        return super().get_queryset(request).defer("token_hash")

    @badge("State", STATES)
    def state(self, invitation: Invitation) -> str:
        """What came of it."""
        if invitation.accepted_at:
            return "accepted"
        if invitation.revoked_at:
            return "revoked"
        return "open" if invitation.expires_at > timezone.now() else "too old"
