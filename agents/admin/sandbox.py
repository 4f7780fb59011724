"""The sandbox in the admin: how everything is, and which effects there were."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString

from accounts.admin.base import RecordAdmin, RelatedFilter, ScopedAdmin, badge, on_page
from agents.models import SandboxEffect, SandboxItem
from agents.tools import sandbox
from approvals import shown
from core.errors import DomainError

STATES = {"running": "success", "on": "success", "stopped": "danger", "unlocked": "warning", "open": "warning"}


@admin.register(SandboxItem)
class SandboxItemAdmin(ScopedAdmin):
    """Services and devices that are made up. Only tools change them, once a workspace has used one."""

    writes = frozenset()
    list_display = ("name", "world", "state_now", "workspace", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("world", ("workspace", RelatedFilter))
    search_fields = ("name",)
    ordering = ("workspace__name", "world", "name")
    fields = ("workspace", "world", "name", "state_now", "whole", "updated_at")
    readonly_fields = ("state_now", "whole")
    actions_detail = ("break_down",)

    def acts_on(self, row: Any) -> bool:
        """Whether it is a service that runs."""
        return bool(row.world == sandbox.INVENTORY and row.state.get("state") == "running")

    @badge("State", STATES)
    def state_now(self, row: SandboxItem) -> str:
        """How it is, in a word."""
        return str(row.state.get("state", ""))

    @admin.display(description="All of it")
    def whole(self, row: SandboxItem) -> SafeString:
        """Everything that is known of it."""
        return shown.json_html(row.state)

    @on_page("Break it", "destruction")
    def break_down(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then let the service stop as if by itself."""
        row = self.one(request, object_id)
        if request.method != "POST":
            text = "The service of the sandbox stops as if by itself, so that an agent which looks can notice it."
            return self.ask(request, row, f"Break {row.name}", text=text, button="Break it")
        try:
            sandbox.break_down(row)
            self.message_user(request, f"{row.name} is stopped.", messages.SUCCESS)
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        return HttpResponseRedirect(self.page_of(row.pk))


@admin.register(SandboxEffect)
class SandboxEffectAdmin(RecordAdmin):
    """What tools did in the sandbox: one row for each key, however often it came."""

    list_display = ("created_at", "tool", "given", "calls", "world", "workspace")
    list_select_related = ("workspace",)
    list_filter = ("world", ("workspace", RelatedFilter))
    fields = ("workspace", "world", "tool", "given", "outcome", "key", "calls", "created_at")
    readonly_fields = ("given", "outcome")

    @admin.display(description="Arguments")
    def given(self, row: SandboxEffect) -> SafeString:
        """What the tool was given."""
        return shown.json_html(row.arguments)

    @admin.display(description="Result")
    def outcome(self, row: SandboxEffect) -> SafeString:
        """What came of it."""
        return shown.json_html(row.result)
