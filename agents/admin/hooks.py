"""Webhooks that wake agents, in the admin: each has a secret that is shown once."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin, on_page
from accounts.models import Role
from agents.models import Agent, AgentHook, AgentKind
from agents.services import hooks
from core.errors import DomainError
from core.sealed import Secret


@admin.register(AgentHook)
class AgentHookAdmin(ScopedAdmin):
    """Addresses to which other systems send what an agent should look at."""

    writes = frozenset({"add"})
    managers = (Role.MANAGER, Role.ADMIN)
    list_display = ("name", "agent", "workspace", "enabled", "created_at")
    list_select_related = ("agent", "workspace")
    list_filter = ("enabled", ("workspace", RelatedFilter))
    search_fields = ("name",)
    ordering = ("workspace__name", "name")
    fields: ClassVar[Any] = ("agent", "name", "workspace", "address", "enabled", "created_at")
    readonly_fields = ("workspace", "address", "enabled", "created_at")
    actions_detail = ("rotate", "switch_off", "switch_on")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The hooks, without their secrets."""
        return super().get_queryset(request).defer("secret", "agent__instructions", "agent__description")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Managers too."""
        return self.allows(request, None, *self.managers)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """The buttons; a hook that is on can be switched off, and one that is off on."""
        row: Any = self.get_object(request, unquote(str(object_id)))
        hidden = "_switch_on" if row is None or row.enabled else "_switch_off"
        return [one for one in super().get_actions_detail(request, object_id) if not one.action_name.endswith(hidden)]

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The agents that work in the background, of workspaces that the person manages."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        agents = Agent.objects.filter(kind=AgentKind.MANAGER).order_by("name")
        if not scope.sees_all(request):
            agents = agents.filter(workspace__in=scope.workspaces(request, *self.managers))
        field.queryset = agents
        return field

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        """The form of a new hook, with one way to go on: to the page that shows its secret."""
        ways = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **ways})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make the hook; raises what the service refuses."""
        agent, name = form.cleaned_data["agent"], form.cleaned_data["name"]
        made, secret = hooks.create(agent, name=name, by=scope.actor(request, agent.workspace))
        obj.pk = made.pk
        obj.refresh_from_db(fields=["workspace", "agent", "name"])
        request.hook_secret = secret  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The page with the secret."""
        return self._show_once(request, obj, request.hook_secret)  # type: ignore[attr-defined]

    @admin.display(description="Address")
    def address(self, hook: AgentHook) -> str:
        """Where others send to, as text: it is for programs."""
        return f"{settings.PUBLIC_URL}/v1/ai/hooks/{hook.pk}"

    @on_page("New secret", "autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then put a new secret in the place of the old one."""
        hook = self.one(request, object_id)
        if request.method != "POST":
            text = "What is signed with the old secret is refused from then on."
            return self.ask(request, hook, f"A new secret for {hook.name}", text=text, button="Make it")
        try:
            secret = hooks.rotate(hook, by=scope.actor(request, hook.workspace))
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return HttpResponseRedirect(self.page_of(hook.pk))
        return self._show_once(request, hook, secret)

    @on_page("Switch off", "power_settings_new", danger=True)
    def switch_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then take nothing more."""
        return self._switch(request, object_id, "Switch off", on=False)

    @on_page("Switch on", "power_settings_new")
    def switch_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then take what comes again."""
        return self._switch(request, object_id, "Switch on", on=True)

    def _switch(self, request: HttpRequest, object_id: str, title: str, *, on: bool) -> HttpResponse:
        hook = self.one(request, object_id)
        if request.method != "POST":
            return self.ask(request, hook, f"{title} {hook.name}", button=title)
        try:
            hooks.switch(hook, on=on, by=scope.actor(request, hook.workspace))
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        return HttpResponseRedirect(self.page_of(hook.pk))

    def _show_once(self, request: HttpRequest, hook: AgentHook, secret: Secret) -> HttpResponse:
        """Shown in the answer itself: a message kept for the next page would lie in a cookie or the database."""
        told = format_html('Copy the secret now, it is not shown again: <code class="secret">{}</code>', str(secret))
        self.message_user(request, told, messages.SUCCESS)
        return self.ask(request, hook, f"{hook.name}: the secret", text=f"Send to {self.address(hook)}")
