"""Tools that a workspace describes, in the admin: their forms, their secrets, and the import of an OpenAPI document."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin, badge, on_page
from accounts.admin.forms import ScopedForm, is_id
from accounts.models import Actor, Role, Workspace
from agents.admin.tools import RISKS
from agents.models import Tool, ToolSecret
from agents.services import tools
from agents.tools import openapi
from core.errors import DomainError


class ToolForm(ScopedForm):
    """A description; an empty object may be left out."""

    def clean(self) -> dict[str, Any]:
        """What was filled in."""
        cleaned = super().clean()
        for name in ("places", "headers"):
            cleaned[name] = cleaned.get(name) or {}
        return cleaned


class DocumentForm(forms.Form):
    """An OpenAPI document, pasted, or the address of one."""

    workspace = forms.ModelChoiceField(Workspace.objects.none(), widget=UnfoldAdminSelectWidget)
    document = forms.CharField(
        required=False,
        strip=False,
        max_length=openapi.LARGEST,
        help_text="OpenAPI 3.0 or 3.1, as JSON or YAML.",
        widget=UnfoldAdminTextareaWidget({"rows": 12}),
    )
    url = forms.CharField(required=False, max_length=500, label="Or its address", widget=UnfoldAdminTextInputWidget)

    def clean(self) -> dict[str, Any]:
        """One of the two."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if bool(cleaned.get("document")) == bool(cleaned.get("url")):
            raise forms.ValidationError("Paste a document, or give its address.")
        return cleaned


class KeepForm(forms.Form):
    """Which of the operations become tools. The document comes along, so that what was looked at is what is kept."""

    workspace = forms.CharField(widget=forms.HiddenInput)
    document = forms.CharField(strip=False, max_length=openapi.LARGEST, widget=forms.HiddenInput)
    url = forms.CharField(required=False, max_length=500, widget=forms.HiddenInput)
    keep = forms.MultipleChoiceField(required=False, label="Tools", widget=UnfoldAdminCheckboxSelectMultipleWidget)


@admin.register(Tool)
class ToolAdmin(ScopedAdmin):
    """Requests to somebody's HTTP API as tools. A call is approved for what is described here, and for nothing else."""

    form = ToolForm
    writes = frozenset({"add", "change", "delete"})
    list_display = ("name", "title", "workspace", "risk_now", "method", "source", "enabled", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("risk", "source", "enabled", ("workspace", RelatedFilter))
    search_fields = ("name", "title")
    ordering = ("workspace__name", "name")
    fields: ClassVar[Any] = ("workspace", *tools.FIELDS, "source", "operation", "version", "updated_at")
    readonly_fields = ("source", "operation", "version", "updated_at")
    actions_list = ("import_document",)

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        """A new tool takes nothing, until it is said."""
        parameters = {"type": "object", "properties": {}, "required": []}
        return {"parameters": parameters, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Keep it; raises what the service refuses."""
        by = scope.actor(request, obj.workspace)
        said = {name: form.cleaned_data[name] for name in tools.FIELDS}
        if change:
            tools.change(Tool.objects.get(pk=obj.pk), by=by, **said)
        else:
            obj.pk = tools.create(by=by, **said).pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete it."""
        tools.delete(obj, by=scope.actor(request, obj.workspace))

    @badge("Risk", RISKS)
    def risk_now(self, row: Tool) -> str:
        """What the tool can do."""
        return row.risk

    @on_page("Import OpenAPI", "upload_file")
    def import_document(self, request: HttpRequest) -> HttpResponse:
        """Take a document, show what it would bring, and keep what was chosen."""
        if "keep_chosen" in request.POST or "keep" in request.POST:
            return self._keep(request)
        form = DocumentForm(request.POST or None)
        form.fields["workspace"].queryset = self._mine(request)  # type: ignore[attr-defined]
        if len(mine := self._mine(request)) == 1:
            form.fields["workspace"].initial = mine[0]
        if request.method != "POST" or not form.is_valid():
            return self._page(request, form, "Import tools from an OpenAPI document", "Look at it")
        said = form.cleaned_data
        by = scope.actor(request, said["workspace"])
        try:
            text = said["document"] or tools.fetch(said["url"], by=by)
            found = tools.propose(text, by=by, came_from=said["url"])
        except DomainError as error:
            form.add_error(None, error.detail)
            return self._page(request, form, "Import tools from an OpenAPI document", "Look at it")
        return self._choose(request, {"document": text, "url": said["url"]}, by, found)

    def _choose(self, request: HttpRequest, came: dict[str, str], by: Actor, found: list[Any]) -> HttpResponse:
        ready = [(one, state) for one, state in found if state in ("new", "changed")]
        form = KeepForm(initial={**came, "workspace": by.workspace.pk, "keep": [one.name for one, _ in ready]})
        form.fields["keep"].choices = [  # type: ignore[attr-defined]
            (one.name, f"{one.name} ({state}): {one.operation}"[:200]) for one, state in ready
        ]
        needs = sorted({name for one, _ in found for name in one.needs})
        others = [f"{one.operation[:100]}: {state}" for one, state in found if state not in ("new", "changed", "same")]
        text = f"{len(ready)} of {len(found)} operations can be kept as new or changed tools. "
        text += f"Secrets to keep for them: {', '.join(needs)}. " if needs else ""
        text += f"Not possible: {'; '.join(others[:20])}" if others else ""
        return self._page(request, form, "Which tools to keep", "Keep them" if ready else "", text)

    def _keep(self, request: HttpRequest) -> HttpResponse:
        form = KeepForm(request.POST)
        names = request.POST.getlist("keep")
        form.fields["keep"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        chosen = str(form.data.get("workspace"))
        workspace = self._mine(request).filter(pk__in=[chosen] if is_id(chosen) else []).first()
        if workspace is None or not form.is_valid():
            self.message_user(request, "Look at the document again.", messages.ERROR)
            return HttpResponseRedirect(request.path)
        by = scope.actor(request, workspace)
        try:
            said = form.cleaned_data
            tools.import_(said["document"], by=by, keep=said["keep"], came_from=said["url"])
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return HttpResponseRedirect(request.path)
        self.message_user(request, f"Kept {len(names)} tools.", messages.SUCCESS)
        return HttpResponseRedirect(self._list())

    def _mine(self, request: HttpRequest) -> Any:
        """The workspaces that the person is an admin of."""
        rows = Workspace.objects.order_by("name")
        return rows if scope.sees_all(request) else rows.filter(pk__in=scope.workspaces(request, Role.ADMIN))

    def _list(self) -> str:
        return reverse(f"{self.admin_site.name}:agents_tool_changelist")

    def _page(self, request: HttpRequest, form: Any, title: str, button: str, text: str = "") -> HttpResponse:
        told = {"title": title, "text": text, "button": button, "form": form, "back": self._list(), "opts": self.opts}
        return TemplateResponse(request, "admin/ask.html", {**self.admin_site.each_context(request), **told})


class ToolSecretForm(ScopedForm):
    """A secret, which is taken and never given back."""

    unchecked = frozenset({"value"})
    value = forms.CharField(
        max_length=4000,
        required=False,
        help_text="Kept encrypted and never shown. Empty: the secret that is there stays.",
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
    )


@admin.register(ToolSecret)
class ToolSecretAdmin(ScopedAdmin):
    """What described tools sign in with: named as {secret:NAME}, and sent to its hosts alone."""

    form = ToolSecretForm
    writes = frozenset({"add", "change", "delete"})
    lines = ("hosts",)
    list_display = ("name", "workspace", "hosts", "has_value", "updated_at")
    list_select_related = ("workspace",)
    list_filter = (("workspace", RelatedFilter),)
    search_fields = ("name",)
    ordering = ("workspace__name", "name")
    fields: ClassVar[Any] = ("workspace", "name", "value", "hosts", "updated_at")
    viewed_fields = ("workspace", "name", "hosts", "updated_at")
    readonly_fields = ("updated_at",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The secrets, with whether there is a value in place of it."""
        return super().get_queryset(request).defer("value").annotate(kept=~Q(value=""))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may not change it sees no field for it."""
        may = obj is None or self.has_change_permission(request, obj)
        return super().get_fields(request, obj) if may else self.viewed_fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A secret stays with its name."""
        return ("name", *self.readonly_fields) if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Keep it; raises what the service refuses."""
        said = form.cleaned_data
        by = scope.actor(request, obj.workspace)
        name = obj.name if change else said["name"]
        obj.pk = tools.keep_secret(by=by, name=name, value=said["value"], hosts=said["hosts"]).pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete it."""
        tools.remove_secret(obj, by=scope.actor(request, obj.workspace))

    @admin.display(description="Has a value", boolean=True)
    def has_value(self, row: Any) -> bool:
        """Whether there is a value."""
        return bool(row.kept)
