"""Agents in the admin."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminRadioSelectWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, on_page
from accounts.admin.forms import ScopedForm
from accounts.models import Role
from agents.admin.files import AgentFiles
from agents.models import Agent
from agents.services import definitions, switches, versions
from approvals.autonomy import Autonomy
from core.errors import DomainError

SHOWN_VERSIONS = 100


class AutonomyForm(forms.Form):
    """How far an agent is trusted."""

    autonomy = forms.ChoiceField(choices=Autonomy.choices, widget=UnfoldAdminRadioSelectWidget)


class AgentForm(ScopedForm):
    """An agent, and the version of it that the form was filled from."""

    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "seen" in self.fields:
            self.fields["seen"].initial = getattr(self.instance, "version", None)


@admin.register(Agent)
class AgentAdmin(AgentFiles):
    """What answers. An agent is switched off, not deleted: what it said names it."""

    form = AgentForm
    lines = ("capabilities", "tools", "skills", "may_ask")
    list_display = ("name", "slug", "workspace", "kind", "model", "autonomy", "enabled", "version", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("kind", "autonomy", "enabled", ("workspace", RelatedFilter))
    search_fields = ("name", "slug")
    ordering = ("workspace__name", "name")
    readonly_fields = ("version", "created_at", "updated_at")
    managers = (Role.MANAGER, Role.ADMIN)
    actions_detail = ("switch_off", "switch_on", "trust", "show_versions", "export")
    # Once it is there: by the buttons alone, so that an old form switches nothing back; policies name its slug.
    switched = ("autonomy", "enabled", "slug")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The agents, without their long texts."""
        return super().get_queryset(request).defer("instructions", "description", "personality", "given")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is not set by the form: of a new agent all is."""
        found = tuple(super().get_readonly_fields(request, obj))
        return (*self.switched, *found) if obj else found

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """The buttons; an agent that is on can be switched off, and one that is off on."""
        row: Any = self.get_object(request, unquote(str(object_id)))
        hidden = "_switch_on" if row is None or row.enabled else "_switch_off"
        return [one for one in super().get_actions_detail(request, object_id) if not one.action_name.endswith(hidden)]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make the agent, or say of it what became other: a new version, unless somebody made one meanwhile."""
        by = scope.actor(request, obj.workspace)
        said = {name: value for name, value in form.cleaned_data.items() if name in versions.SAID}
        if not change:
            obj.author = by.user
            definitions.keep_new(obj, by=by, said=said)
            return
        changed = {name: value for name, value in said.items() if name in form.changed_data}
        if changed:
            definitions.change(obj, by=by, version=form.cleaned_data["seen"], **changed)

    @on_page("Versions", "history")
    def show_versions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The versions, each with what it changed; a POST says again what one of them said."""
        agent = self.one(request, object_id)
        if request.method == "POST":
            return self._restore(request, agent)
        rows = versions.listed(agent)[:SHOWN_VERSIONS]
        older = [row.snapshot for row in rows[1:]] or []
        told = [
            {"row": row, "newest": row.number == agent.version, "changes": versions.difference(before, row.snapshot)}
            for row, before in zip(rows, [*older, rows[-1].snapshot], strict=True)
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": agent,
            "title": f"Versions of {agent.name}",
            "versions": told,
            "may_restore": self.has_change_permission(request, agent),
            "back": self.page_of(agent.pk),
        }
        return TemplateResponse(request, "admin/agent_versions.html", context)

    def _restore(self, request: HttpRequest, agent: Agent) -> HttpResponse:
        number = request.POST.get("number", "")
        try:
            by = scope.actor(request, agent.workspace)
            definitions.restore(agent, int(number) if number.isdecimal() and len(number) < 10 else 0, by=by)
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            self.message_user(request, f"It does again what version {number} said.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(agent.pk))

    @on_page("Switch off", "power_settings_new", danger=True)
    def switch_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then stop the agent."""
        text = "It does nothing more: none of its actions starts, approved or not. What runs just now is not stopped."
        return self._switch(request, object_id, "Switch off", text, enabled=False)

    @on_page("Switch on", "power_settings_new")
    def switch_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then let the agent work again."""
        return self._switch(request, object_id, "Switch on", "It works again, as far as policies let it.", enabled=True)

    @on_page("Autonomy", "handshake")
    def trust(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask how far it is trusted, then trust it so far."""
        agent = self.one(request, object_id)
        form = AutonomyForm(request.POST if request.method == "POST" else None, initial={"autonomy": agent.autonomy})
        if request.method == "POST" and form.is_valid():
            return self._switch(request, object_id, "", "", autonomy=form.cleaned_data["autonomy"])
        text = "How far it may act without being asked. Policies that ask or deny win over any of these."
        return self.ask(request, agent, f"Autonomy of {agent.name}", text=text, button="Set autonomy", form=form)

    def _switch(self, request: HttpRequest, object_id: str, title: str, text: str, **wanted: Any) -> HttpResponse:
        agent = self.one(request, object_id)
        if request.method != "POST":
            return self.ask(request, agent, f"{title} {agent.name}", text=text, button=title)
        try:
            switches.change_agent(agent, by=scope.actor(request, agent.workspace), **wanted)
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            self.message_user(request, "Done.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(agent.pk))
