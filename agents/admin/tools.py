"""What a workspace settles about tools, in the admin: their kill switches, and what they are connected to."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin, badge
from accounts.admin.forms import ScopedForm
from accounts.models import Role
from agents.admin.addresses import is_address
from agents.models import Connection, ToolSetting
from agents.services import connections, switches
from agents.tools import registry
from agents.tools.web import engines

RISKS = {"read": "success", "write": "info", "external": "warning", "destructive": "danger"}


def _tools() -> list[tuple[str, str]]:
    return [(name, name) for name in registry.names()]


class ToolSettingForm(ScopedForm):
    """One of the tools that there are."""

    tool = forms.ChoiceField(choices=_tools, widget=UnfoldAdminSelectWidget)


@admin.register(ToolSetting)
class ToolSettingAdmin(ScopedAdmin):
    """The kill switches. A tool without a row here is on."""

    form = ToolSettingForm
    list_display = ("tool", "risk", "workspace", "enabled", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("enabled", ("workspace", RelatedFilter))
    search_fields = ("tool",)
    ordering = ("workspace__name", "tool")
    fields = ("workspace", "tool", "enabled", "updated_at")
    readonly_fields = ("updated_at",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, with the tools of the person's workspaces too."""
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        if "tool" in form.base_fields:
            names = {name for one in scope.workspaces(request, Role.ADMIN) for name in registry.names(one)}
            choices = [(name, name) for name in sorted({*registry.names(), *names})]
            form.base_fields["tool"] = forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget)
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A row stays with its tool."""
        return ("tool", *self.readonly_fields) if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Switch it."""
        by = scope.actor(request, obj.workspace)
        obj.pk = switches.change_tool(obj.workspace, obj.tool, by=by, enabled=obj.enabled).pk

    @badge("Risk", RISKS)
    def risk(self, row: ToolSetting) -> str:
        """What the tool can do."""
        spec = registry.get(row.tool, row.workspace_id)
        return str(spec.risk.value) if spec else "gone"


class ConnectionForm(ScopedForm):
    """A connection. Its token is taken and never given back; its address may be one that only this network knows."""

    unchecked = frozenset({"base_url", "token"})
    base_url = forms.CharField(
        max_length=500,
        required=False,
        label="Address",
        help_text="Such as http://homeassistant.local:8123, or http://inventory:9000/v1. Empty: that of the engine.",
        widget=UnfoldAdminTextInputWidget,
    )
    token = forms.CharField(
        max_length=4000,
        required=False,
        help_text="Kept encrypted and never shown. Empty: the token that is there stays.",
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
    )

    def clean_base_url(self) -> str:
        """An address that a request can be sent to, without a password in it."""
        url = str(self.cleaned_data["base_url"]).strip()
        if not url and str(self.cleaned_data.get("kind", "")) in engines.ADDRESSES:
            return ""
        if not is_address(url) or "@" in url:
            raise forms.ValidationError("An http or https address, such as http://homeassistant.local:8123")
        return url

    def clean(self) -> dict[str, Any]:
        """A token stays with the address that it was given for, and some engines want one."""
        cleaned = super().clean()
        keyed = bool(self.instance.pk and getattr(self.instance, "keyed", False))
        if cleaned.get("token"):
            return cleaned
        if keyed and {"kind", "base_url"} & set(self.changed_data):
            self.add_error("token", "Give the token again: the one that is there was for another address.")
        elif not keyed and str(cleaned.get("kind", "")) in engines.ADDRESSES:
            self.add_error("token", "This engine answers nobody without a key.")
        return cleaned


@admin.register(Connection)
class ConnectionAdmin(ScopedAdmin):
    """What the tools of a workspace work on. Without a row here they work on the sandbox."""

    form = ConnectionForm
    writes = frozenset({"add", "change", "delete"})
    list_display = ("kind", "workspace", "address", "has_token", "enabled", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("kind", "enabled", ("workspace", RelatedFilter))
    ordering = ("workspace__name", "kind")
    fields: ClassVar[Any] = ("workspace", "kind", "base_url", "token", "has_token", "enabled", "updated_at")
    viewed_fields = ("workspace", "kind", "address", "has_token", "enabled", "updated_at")
    readonly_fields = ("has_token", "address", "updated_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The connections, with whether they have a token in place of the token."""
        return super().get_queryset(request).defer("token").annotate(keyed=~Q(token=""))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may not change it sees no field for a token."""
        may = obj is None or self.has_change_permission(request, obj)
        return super().get_fields(request, obj) if may else self.viewed_fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Keep it."""
        connections.save(obj, by=scope.actor(request, obj.workspace))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Take it away."""
        connections.remove(obj, by=scope.actor(request, obj.workspace))

    @admin.display(description="Has a token", boolean=True)
    def has_token(self, row: Any) -> bool:
        """Whether there is a token."""
        return bool(getattr(row, "keyed", False))

    @admin.display(description="Address", ordering="base_url")
    def address(self, row: Connection) -> str:
        """The address, as text and not as a link: it is for programs."""
        return row.base_url
