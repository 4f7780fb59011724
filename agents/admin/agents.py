"""Agents in the admin."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.widgets import UnfoldAdminRadioSelectWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin, on_page
from accounts.models import Actor, Role
from agents.models import Agent
from agents.services import switches
from approvals.autonomy import Autonomy
from core import ledger
from core.errors import DomainError

ORDERS = {"instructions", "task", "tools", "schedule", "kind"}  # what says what it does


class AutonomyForm(forms.Form):
    """How far an agent is trusted."""

    autonomy = forms.ChoiceField(choices=Autonomy.choices, widget=UnfoldAdminRadioSelectWidget)


@admin.register(Agent)
class AgentAdmin(ScopedAdmin):
    """What answers. An agent is switched off, not deleted: what it said names it."""

    lines = ("capabilities", "tools")
    list_display = ("name", "slug", "workspace", "kind", "model", "autonomy", "enabled", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("kind", "autonomy", "enabled", ("workspace", RelatedFilter))
    search_fields = ("name", "slug")
    ordering = ("workspace__name", "name")
    readonly_fields = ("created_at", "updated_at")
    managers = (Role.MANAGER, Role.ADMIN)
    actions_detail = ("switch_off", "switch_on", "trust")
    switched = ("autonomy", "enabled")  # by the buttons alone, once it is there: an old form switches nothing back

    def get_queryset(self, request: HttpRequest) -> Any:
        """The agents, without their long texts."""
        return super().get_queryset(request).defer("instructions", "description")

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
        """Store what became other, and tell the log of it."""
        by = scope.actor(request, obj.workspace)
        if not change:
            obj.author = by.user
            super().save_model(request, obj, form, change)
            self._tell(obj, by, sorted(form.cleaned_data))
            return
        changed = sorted(form.changed_data)
        if not changed:
            return
        stored = [*changed, "updated_at"]
        if ORDERS & set(changed):
            obj.author = by.user
            stored.append("author")
        obj.save(update_fields=stored)  # and nothing that somebody switches meanwhile
        self._tell(obj, by, changed)

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

    def _tell(self, agent: Agent, by: Actor, names: list[str]) -> None:
        """Tell the log which fields of an agent were set."""
        entry = ledger.Entry(
            type="agent.changed",
            workspace_id=agent.workspace_id,
            who=ledger.person(by.user.pk, label=str(by.user)),
            target=("agent", agent.pk),
            agent_id=agent.pk,
            data={"fields": names, "after": {name: str(getattr(agent, name))[:500] for name in names}},
        )
        ledger.record(entry)
