"""Companions in the admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin
from accounts.admin.forms import LinesField, ScopedForm
from companions import services
from companions.models import Companion, Layer


class CompanionForm(ScopedForm):
    """A companion; its memory layers are ticked, and its tools are lines."""

    tools_allowed = LinesField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 4}),
        help_text="One on each line; empty: all of its agent's tools. `ask_agent` among them opens all tools of the "
        "agents that may be asked: they are not narrowed by this list.",
    )
    memory_layers = forms.MultipleChoiceField(
        choices=Layer.choices, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )


@admin.register(Companion)
class CompanionAdmin(ScopedAdmin):
    """Whom people talk to. A companion is switched off, not deleted: conversations name it."""

    form = CompanionForm
    list_display = ("name", "type", "workspace", "agent", "memory", "enabled", "updated_at")
    list_select_related = ("workspace", "agent")
    list_filter = ("enabled", ("workspace", RelatedFilter))
    search_fields = ("name", "type")
    ordering = ("workspace__name", "name")
    readonly_fields = ("created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The companions, without their long texts."""
        return super().get_queryset(request).defer("personality", "description", "agent__instructions")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the companion and tell the log."""
        services.save(obj, by=scope.actor(request, obj.workspace))

    @admin.display(description="Memory")
    def memory(self, companion: Companion) -> str:
        """The layers that it keeps."""
        return ", ".join(companion.memory_layers) or "none"
