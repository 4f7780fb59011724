"""MCP servers in the admin: connecting one, asking it for its tools, and accepting those one by one."""

import json
from typing import Any, ClassVar

import msgspec
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin, badge, on_page
from accounts.admin.forms import ScopedForm
from accounts.models import Role
from agents.acceptance import AcceptForm, difference
from agents.admin.tools import RISKS
from agents.models import McpServer, McpTool
from agents.services import mcp
from core.errors import DomainError

STATES = {"accepted": "success", "new": "info", "changed": "danger", "gone": "warning"}
FIELDS = ("workspace", "name", "transport", "url", "program", "enabled")


def _programs() -> list[tuple[str, str]]:
    return [("", "None"), *((name, name) for name in settings.MCP_STDIO_SERVERS)]


class McpServerForm(ScopedForm):
    """A server. Its secrets are taken and never given back."""

    unchecked = frozenset({"secrets"})
    program = forms.ChoiceField(choices=_programs, required=False, widget=UnfoldAdminSelectWidget)
    secrets = forms.CharField(
        max_length=20_000,
        required=False,
        help_text='Headers or variables, as {"Authorization": "Bearer …"}. Never shown. Empty: what is there stays.',
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
    )

    def clean_secrets(self) -> str:
        """A JSON object of texts, or nothing."""
        text = str(self.cleaned_data["secrets"])
        try:
            if text:
                msgspec.json.decode(text, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeError):
            raise forms.ValidationError("A JSON object of texts.") from None
        return text


def found(pages: ScopedAdmin, request: HttpRequest, object_id: str) -> Any:
    """The row of a page; raises Http404 where the person may see none."""
    row = pages.get_object(request, object_id)
    if row is None:
        raise Http404
    return row


class DressedAcceptForm(AcceptForm):
    """What a person makes of a definition, as the admin draws forms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.anew:
            choice: Any = self.fields[name]
            choice.widget = UnfoldAdminSelectWidget(choices=choice.choices)


@admin.register(McpServer)
class McpServerAdmin(ScopedAdmin):
    """Servers whose tools the workspace's agents may be given."""

    form = McpServerForm
    writes = frozenset({"add", "change", "delete"})
    managers = (Role.ADMIN, Role.MANAGER)
    list_display = ("name", "workspace", "transport", "enabled", "checked_at", "problem")
    list_select_related = ("workspace",)
    list_filter = ("transport", "enabled", ("workspace", RelatedFilter))
    search_fields = ("name",)
    ordering = ("workspace__name", "name")
    fields: ClassVar[Any] = (*FIELDS, "secrets", "checked_at", "problem")
    readonly_fields = ("checked_at", "problem")
    actions_detail = ("ask_for_tools",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may not change it sees no field for secrets."""
        may = obj is None or self.has_change_permission(request, obj)
        return self.fields if may else (*FIELDS, "checked_at", "problem")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The names of the tools begin with the server's, which stays."""
        return ("name", *self.readonly_fields) if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Keep it; raises what the service refuses."""
        said = form.cleaned_data.get("secrets")
        if change:
            obj.secrets = McpServer.objects.get(pk=obj.pk).secrets
        mcp.save(obj, by=scope.actor(request, obj.workspace), secrets=json.loads(said) if said else None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Disconnect it."""
        mcp.delete(obj, by=scope.actor(request, obj.workspace))

    @on_page("Ask for its tools", "refresh")
    def ask_for_tools(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, and show them."""
        server: Any = found(self, request, object_id)
        listed = reverse(f"{self.admin_site.name}:agents_mcptool_changelist") + f"?server__id__exact={server.pk}"
        if request.method != "POST":
            told = {"title": f"Ask {server} for its tools", "button": "Ask", "form": forms.Form(), "back": listed}
            return TemplateResponse(request, "admin/ask.html", {**self.admin_site.each_context(request), **told})
        try:
            problem = mcp.refresh(server, by=scope.actor(request, server.workspace)).problem
        except DomainError as error:
            problem = error.detail
        if problem:
            self.message_user(request, problem, messages.ERROR)
        return HttpResponseRedirect(listed)


@admin.register(McpTool)
class McpToolAdmin(ScopedAdmin):
    """Tools of servers. One whose definition changed is not called before it is accepted again."""

    writes: ClassVar[frozenset[str]] = frozenset()
    managers = (Role.ADMIN, Role.MANAGER)
    list_display = ("name", "workspace", "server", "state_now", "risk_now", "updated_at")
    list_select_related = ("workspace", "server")
    list_filter = (("server", RelatedFilter), ("workspace", RelatedFilter))
    search_fields = ("name",)
    ordering = ("workspace__name", "name")
    fields: ClassVar[Any] = ("workspace", "server", "name", "remote_name", "state_now", "risk", "retry", "offered")
    readonly_fields = ("state_now",)
    actions_detail = ("accept", "withdraw")

    @badge("State", STATES)
    def state_now(self, row: McpTool) -> str:
        """Whether models may have it."""
        return row.state

    @badge("Risk", RISKS)
    def risk_now(self, row: McpTool) -> str:
        """The risk that it was accepted with."""
        return row.risk

    @on_page("Accept", "check")
    def accept(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what changed, and take the risk that a person gives it; the server's hints only prefill that."""
        tool: Any = found(self, request, object_id)
        risk, retry = mcp.proposed(tool)
        first = {"definition": tool.offered_hash, "risk": risk, "retry": retry}
        form = DressedAcceptForm(request.POST or None, initial=first)
        if request.method == "POST" and form.is_valid():
            return self._done(request, tool, lambda by: mcp.accept(tool, by=by, **form.cleaned_data))
        return self._ask(request, tool, form, f"Accept {tool} as it is defined now", "Accept", difference(tool))

    @on_page("Accept no more", "block", danger=True)
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take it from models."""
        tool: Any = found(self, request, object_id)
        if request.method == "POST":
            return self._done(request, tool, lambda by: mcp.withdraw(tool, by=by))
        return self._ask(request, tool, forms.Form(), f"Take {tool} from all models", "Accept it no more", "")

    def _done(self, request: HttpRequest, tool: McpTool, act: Any) -> HttpResponse:
        try:
            act(scope.actor(request, tool.workspace))
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        return HttpResponseRedirect(self._page(tool))

    def _page(self, tool: McpTool) -> str:
        return reverse(f"{self.admin_site.name}:agents_mcptool_change", args=(tool.pk,))

    def _ask(self, request: HttpRequest, tool: McpTool, form: Any, title: str, button: str, exact: str) -> HttpResponse:
        told = {"title": title, "exact": exact, "button": button, "form": form, "back": self._page(tool)}
        return TemplateResponse(request, "admin/ask.html", {**self.admin_site.each_context(request), **told})
