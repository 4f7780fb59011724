"""Companions in the admin."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
)

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin
from accounts.admin.forms import LinesField, ScopedForm
from companions import services
from companions.models import MOST_TOKENS, Companion, Layer, usual_budget


def _tokens(layer: Layer) -> forms.IntegerField:
    """How many tokens of a layer are told; empty: as many as usual."""
    return forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MOST_TOKENS,
        label=f"Tokens of {layer.label.lower()}",
        help_text=f"About how much of it is told with a message; 0: nothing. Usual: {usual_budget()[layer]}.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


class CompanionForm(ScopedForm):
    """A companion; its memory layers are ticked, what is told of each is a number, and its tools are lines."""

    tools_allowed = LinesField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 4}),
        help_text="One on each line; empty: all of its agent's tools. `ask_agent` among them opens all tools of the "
        "agents that may be asked: they are not narrowed by this list.",
    )
    memory_layers = forms.MultipleChoiceField(
        choices=Layer.choices, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    identity_tokens = _tokens(Layer.IDENTITY)
    preferences_tokens = _tokens(Layer.PREFERENCES)
    history_tokens = _tokens(Layer.HISTORY)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """With the numbers of the companion at hand."""
        super().__init__(*args, **kwargs)
        companion = cast(Companion, self.instance)
        for layer, tokens in {**usual_budget(), **companion.memory_budget}.items():
            if f"{layer}_tokens" in self.fields:
                self.fields[f"{layer}_tokens"].initial = tokens

    def clean(self) -> dict[str, Any]:
        """What was filled in; the three numbers are the companion's budget."""
        cleaned = super().clean()
        told = {layer: cleaned.get(f"{layer}_tokens") for layer in usual_budget()}
        cast(Companion, self.instance).memory_budget = {
            layer: usual if told[layer] is None else told[layer] for layer, usual in usual_budget().items()
        }
        return cleaned


@admin.register(Companion)
class CompanionAdmin(ScopedAdmin):
    """Whom people talk to. A companion is switched off, not deleted: conversations name it."""

    form = CompanionForm
    exclude = ("memory_budget",)
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
