"""Notification channels in the admin: made, changed and tried out; their addresses are shown nowhere."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectMultipleWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin, on_page
from accounts.admin.forms import ScopedForm
from approvals.models import NotificationChannel
from approvals.services import channels
from core.errors import DomainError
from core.guarded import LONGEST_URL


class ChannelForm(ScopedForm):
    """A channel. Its address is taken and never given back."""

    unchecked = frozenset({"url", "events"})
    url = forms.CharField(
        max_length=LONGEST_URL,
        required=False,
        label="Address",
        help_text="Of the incoming webhook. Kept encrypted and never shown. Empty: the one that is there stays.",
        widget=UnfoldAdminPasswordWidget({"autocomplete": "off"}),
    )
    events = forms.MultipleChoiceField(
        choices=[(name, name) for name in channels.EVENTS],
        required=False,
        help_text="Which events are told; none chosen: all.",
        widget=UnfoldAdminSelectMultipleWidget,
    )

    def clean(self) -> dict[str, Any]:
        """A new channel has an address."""
        cleaned = super().clean()
        if not getattr(self.instance, "shown", "") and not cleaned.get("url"):
            self.add_error("url", "Paste the address that Slack or Teams gave you.")
        return cleaned


@admin.register(NotificationChannel)
class NotificationChannelAdmin(ScopedAdmin):
    """Where people of a workspace read together what waits and what was decided."""

    form = ChannelForm
    writes = frozenset({"add", "change", "delete"})
    list_display = ("name", "kind", "shown", "workspace", "enabled", "disabled_reason", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("kind", "enabled", ("workspace", RelatedFilter))
    ordering = ("workspace__name", "name")
    fields: ClassVar[Any] = (
        "workspace", "name", "kind", "url", "shown", "events", "enabled", "disabled_reason", "failing_since",
        "updated_at",
    )  # fmt: skip
    readonly_fields = ("shown", "disabled_reason", "failing_since", "updated_at")
    actions_detail = ("send_test",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The channels, without their addresses."""
        return super().get_queryset(request).defer("url")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may not change it sees no field for an address."""
        found = super().get_fields(request, obj)
        may = obj is None or self.has_change_permission(request, obj)
        return found if may else [name for name in found if name != "url"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A channel stays what it is: its address is of that kind."""
        return ("kind", *self.readonly_fields) if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make or change it; raises what the service refuses."""
        by, said = scope.actor(request, obj.workspace), form.cleaned_data
        told = {name: said[name] for name in ("name", "events", "enabled")}
        if said.get("url"):
            told["url"] = said["url"]
        if change:
            channels.change(channels.find(obj.pk, by=by), by=by, **told)
        else:
            obj.pk = channels.create(by=by, kind=said["kind"], **told).pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Take it away."""
        channels.delete(obj, by=scope.actor(request, obj.workspace))

    @on_page("Send a test", "send")
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then send one."""
        channel = self.one(request, object_id)
        if request.method != "POST":
            text = "Whoever reads the channel sees it. Deliveries tells what came of it."
            return self.ask(request, channel, f"Send a test to {channel.name}", text=text, button="Send it")
        try:
            channels.test(channel, by=scope.actor(request, channel.workspace))
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            self.message_user(request, "It is on its way. Deliveries tells what came of it.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(channel.pk))
