"""What is remembered, and what is told outside."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html

from accounts.admin import scope
from accounts.admin.base import RecordAdmin, RelatedFilter, ScopedAdmin, SinceFilter, badge, on_page
from accounts.models import Role
from approvals import shown
from approvals.models import Grant, OutboxItem, WebhookEndpoint
from approvals.services import grants
from core.errors import DomainError

DELIVERED = {
    "delivered": "success",
    "written to the log": "warning",
    "given up": "danger",
    "waits": "info",
    "tries again": "warning",
}
GRANTS = {"holds": "success", "used up": "info", "over": "info", "revoked": "danger"}


@admin.register(Grant)
class GrantAdmin(RecordAdmin):
    """Approvals that cover the same call for a while; each can be ended."""

    managers = (Role.MANAGER, Role.ADMIN)
    list_display = ("state", "tool_text", "uses_left", "expires_at", "author", "created_at", "workspace")
    list_select_related = ("author", "workspace")
    list_filter = (SinceFilter, ("workspace", RelatedFilter))
    list_display_links = ("state", "tool_text")
    ids = ("pk", "session_id", "approval")
    search_help_text = "The id of a grant, session or approval"
    fields: ClassVar[Any] = (
        "id", "state", "workspace", "approval", "session_id", "tool_text", "tool_version", "same", "uses_left",
        "expires_at", "revoked_at", "author", "created_at",
    )  # fmt: skip
    readonly_fields = ("id", "state", "tool_text", "same")
    actions_detail = ("revoke",)

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["countersign/approvals.css"]}

    def acts_on(self, row: Any) -> bool:
        """Whether it still covers anything."""
        return self.state(row) == "holds"

    @badge("State", GRANTS)
    def state(self, grant: Grant) -> str:
        """Whether it covers anything."""
        if grant.revoked_at:
            return "revoked"
        if grant.expires_at <= timezone.now():
            return "over"
        return "holds" if grant.uses_left else "used up"

    @admin.display(description="Tool")
    def tool_text(self, grant: Grant) -> str:
        """The tool's name, every character of it visible."""
        return shown.visible_line(grant.tool)

    @admin.display(description="Where these are the same")
    def same(self, grant: Grant) -> str:
        """The arguments that must be equal."""
        return format_html('<pre class="exact">{}</pre>', shown.json_html(grant.arguments))

    @on_page("Revoke", "block", danger=True)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then end it."""
        grant = self.one(request, object_id)
        if request.method != "POST":
            text = "The next such call waits for an approval again."
            return self.ask(request, grant, "Revoke what is remembered", text=text, button="Revoke")
        try:
            grants.revoke(grant.pk, by=scope.actor(request, grant.workspace))
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            self.message_user(request, "It is remembered no longer.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(grant.pk))


@admin.register(OutboxItem)
class OutboxItemAdmin(RecordAdmin):
    """Webhooks and e-mails: what was delivered, what waits, and what went wrong."""

    list_display = ("state", "created_at", "topic", "type", "target_text", "attempts", "status_code", "workspace")
    list_select_related = ("workspace",)
    list_filter = ("topic", SinceFilter, ("workspace", RelatedFilter))
    list_display_links = ("state", "created_at")
    search_help_text = "The id of a delivery, which receivers know as webhook-id"
    fields: ClassVar[Any] = (
        "id", "state", "workspace", "topic", "type", "target_text", "attempts", "status_code", "problem", "not_before",
        "done_at", "failed_at", "created_at", "body",
    )  # fmt: skip
    readonly_fields = ("id", "state", "target_text", "problem", "body")

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["countersign/approvals.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        """The rows, without what is heavy in a list."""
        return super().get_queryset(request).defer("payload")

    @badge("State", DELIVERED)
    def state(self, item: OutboxItem) -> str:
        """How it stands."""
        if item.done_at:
            return "written to the log" if item.error else "delivered"
        if item.failed_at:
            return "given up"
        return "tries again" if item.attempts else "waits"

    @admin.display(description="To")
    def target_text(self, item: OutboxItem) -> str:
        """An address, or the workspace's webhook."""
        return shown.visible_line(item.target) if item.target else "the webhook"

    @admin.display(description="What went wrong")
    def problem(self, item: OutboxItem) -> str:
        """The last failure, as plain text."""
        return shown.visible(item.error) if item.error else "-"

    @admin.display(description="What is told")
    def body(self, item: OutboxItem) -> str:
        """The payload."""
        return format_html('<pre class="exact">{}</pre>', shown.json_html(item.payload))


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ScopedAdmin):
    """Where workspaces are told; set by API. The secret is nobody's to read here."""

    writes = frozenset()
    list_display = ("url_text", "workspace", "enabled", "disabled_reason", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("enabled",)
    ordering = ("workspace__name",)
    fields = ("workspace", "url_text", "events", "enabled", "disabled_reason", "created_at", "updated_at")
    readonly_fields = ("url_text",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The rows, without their secrets."""
        return super().get_queryset(request).defer("secret")

    @admin.display(description="Address", ordering="url")
    def url_text(self, endpoint: WebhookEndpoint) -> str:
        """The address, as text and not as a link: it is for programs."""
        return shown.visible_line(endpoint.url)
