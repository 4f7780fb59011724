"""Model providers in the admin."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin, on_page
from accounts.admin.forms import ScopedForm
from agents.admin.addresses import is_address
from agents.models import Provider, ProviderKind
from agents.providers import presets
from agents.services import providers
from core.errors import DomainError

NAMES_SHOWN = 20


class ProviderForm(ScopedForm):
    """A provider. Its key is taken and never given back; its address may be a name that only this network knows."""

    unchecked = frozenset({"base_url", "api_key"})
    preset = forms.ChoiceField(
        choices=[("", "None"), *((preset.name, preset.label) for preset in presets.PRESETS.values())],
        required=False,
        help_text="A well-known service: where the address is empty, it becomes its own.",
        widget=UnfoldAdminSelectWidget,
    )
    base_url = forms.CharField(
        max_length=500,
        required=False,
        label="Base URL",
        help_text="Up to and with /v1, for example http://gpu.lan:8080/v1; Ollama's without it: http://ollama:11434",
        widget=UnfoldAdminTextInputWidget,
    )
    api_key = forms.CharField(
        max_length=4000,
        required=False,
        label="API key",
        help_text="Kept encrypted and never shown. Empty: the key that is there stays.",
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
    )
    priority = forms.IntegerField(
        min_value=0,
        max_value=providers.GREATEST,
        required=False,
        help_text="Lower is asked first. Empty: after all others of the workspace.",
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def clean_base_url(self) -> str:
        """An address that a request can be sent to."""
        url = str(self.cleaned_data["base_url"]).strip()
        if url and not is_address(url):
            raise forms.ValidationError("An http or https address, such as https://api.example.org/v1")
        return url

    def clean(self) -> dict[str, Any]:
        """A provider on the network has an address, if only that of a well-known service."""
        cleaned = super().clean()
        preset = presets.PRESETS.get(cleaned.get("preset") or "")
        if preset and cleaned.get("kind") != ProviderKind.OPENAI:
            self.add_error("preset", "These services are OpenAI-compatible: choose that kind, or no service.")
        elif preset and cleaned.get("base_url") == "":
            cleaned["base_url"] = preset.base_url
            cleaned["any_model"] = cleaned.get("any_model") or preset.any_model
            cleaned["default_model"] = cleaned.get("default_model") or preset.default_model
        if cleaned.get("kind") == ProviderKind.OPENAI and cleaned.get("base_url") == "":
            self.add_error("base_url", "This kind of provider needs an address.")
        return cleaned


@admin.register(Provider)
class ProviderAdmin(ScopedAdmin):
    """Where models are. Those that the environment names are the same for all and have no row here."""

    form = ProviderForm
    writes = frozenset({"add", "change", "delete"})
    lines = ("model_names",)
    list_display = ("name", "workspace", "kind", "base_url_text", "default_model", "has_key", "priority", "enabled")
    list_select_related = ("workspace",)
    list_filter = ("kind", "enabled", ("workspace", RelatedFilter))
    search_fields = ("name", "base_url")
    ordering = ("workspace__name", "priority", "name")
    fields: ClassVar[Any] = (
        "workspace", "name", "kind", "preset", "base_url", "api_key", "has_key", "default_model", "model_names",
        "any_model", "priority", "send_memories", "enabled", "created_at", "updated_at",
    )  # fmt: skip
    viewed_fields = tuple(
        name if name != "base_url" else "base_url_text" for name in fields if name not in ("api_key", "preset")
    )
    readonly_fields = ("has_key", "base_url_text", "created_at", "updated_at")
    actions_detail = ("test",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The providers, with whether they have a key in place of the key."""
        return super().get_queryset(request).defer("api_key").annotate(keyed=~Q(api_key=""))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may not change it sees no key field; a service is chosen when it is made."""
        if obj is None:
            return super().get_fields(request, obj)
        may = self.has_change_permission(request, obj)
        fields = super().get_fields(request, obj) if may else self.viewed_fields
        return tuple(name for name in fields if name != "preset")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the provider and tell the log."""
        new_key = bool(form.cleaned_data["api_key"])
        if {"kind", "base_url"} & set(form.changed_data):
            obj.guarded = False  # staff know the network
        if obj.priority is None:
            obj.priority = providers.last(obj.workspace)
        providers.save(obj, new_key=new_key, by=scope.actor(request, obj.workspace))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the provider and tell the log."""
        providers.remove(obj, by=scope.actor(request, obj.workspace))

    @on_page("Test", "network_check")
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the provider for its models, once that is wanted, and say what came back."""
        row = self.one(request, object_id)
        if request.method == "POST":
            try:
                self.message_user(request, _summary(providers.models_of(row)), messages.SUCCESS)
            except DomainError as error:
                self.message_user(request, f"{error.title}. {error.detail}", messages.ERROR)
        text = f"It is asked for its list of models, at {row.base_url or 'its usual address'}."
        if row.kind == ProviderKind.REHEARSAL:
            text = "It is built in and offline: nothing is sent, and no model is asked."
        return self.ask(request, row, f"Test {row.name}", text=text, button="Ask now")

    @admin.display(description="Has a key", boolean=True)
    def has_key(self, row: Any) -> bool:
        """Whether there is a key."""
        return bool(getattr(row, "keyed", False))

    @admin.display(description="Base URL", ordering="base_url")
    def base_url_text(self, row: Provider) -> str:
        """The address, as text and not as a link: it is for programs."""
        return row.base_url


def _summary(names: list[str]) -> str:
    if not names:
        return "It answers, and lists no models."
    shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
    return f"It answers, with {len(names)} models: {shown}"
