"""API keys and idempotent requests in the admin."""

import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from accounts.admin import scope
from accounts.admin.base import RecordAdmin, RelatedFilter, ScopedAdmin, badge, on_page
from accounts.admin.forms import ScopedForm
from accounts.models import ApiKey, IdempotentRequest
from accounts.services import keys
from core.errors import DomainError

MADE_FOR_ANOTHER = "You made it for somebody else: it decides nothing, nor do you decide what is requested by it."
STATES = {"active": "success", "rotated": "warning", "expired": "warning", "revoked": "danger"}


class RotationForm(forms.Form):
    """How a key's successor takes over."""

    grace = forms.IntegerField(
        min_value=0,
        max_value=24 * 90,
        initial=24,
        widget=UnfoldAdminIntegerFieldWidget,
        label="Hours for which the old key goes on working",
    )


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin):
    """Keys. What makes one work is shown on the page after it was made, and kept nowhere."""

    form = ScopedForm
    writes = frozenset({"add"})
    lines = ("scopes", "origins")
    list_display = ("name", "state", "kind", "mode", "public_id", "user", "workspace", "last_used_at", "expires_at")
    list_select_related = ("user", "workspace")
    list_filter = ("kind", "mode", ("workspace", RelatedFilter))
    search_fields = ("name", "public_id", "user__email")
    ordering = ("-created_at",)
    autocomplete_fields = ("user",)
    fields: ClassVar[Any] = (
        "workspace", "user", "name", "kind", "mode", "scopes", "origins", "expires_at", "state", "public_id",
        "created_by", "rotated_to", "revoked_at", "last_used_at", "created_at",
    )  # fmt: skip
    add_fields = ("workspace", "user", "name", "kind", "mode", "scopes", "origins", "expires_at")
    readonly_fields = ("state", "public_id", "created_by", "rotated_to", "revoked_at", "last_used_at", "created_at")
    actions = ("revoke_selected",)
    actions_detail = ("rotate", "revoke")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The keys, without the hashes of their secrets."""
        return super().get_queryset(request).defer("secret_hash")

    def acts_on(self, row: Any) -> bool:
        """Whether the key has not ended."""
        return self.state(row) in ("active", "rotated")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        """The form of a new key, with one way to go on: to the page that shows it."""
        ways = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **ways})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make the key; raises what does not fit together."""
        given = form.cleaned_data
        made, text = keys.create(**{name: given[name] for name in self.add_fields}, by=scope.user(request))
        obj.pk = made.pk
        obj.refresh_from_db()
        request.key_text = text  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The page with the key's text."""
        return self._show_once(request, obj, request.key_text)  # type: ignore[attr-defined]

    @on_page("Rotate", "autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask how long the old key shall work, then make its successor."""
        key = self.one(request, object_id)
        form = RotationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                made, text = keys.rotate(
                    key, grace=datetime.timedelta(hours=form.cleaned_data["grace"]), by=scope.user(request)
                )
            except DomainError as error:
                return self._refused(request, key, error)
            self.log_change(request, key, f"Rotated to {made.public_id}.")
            return self._show_once(request, made, text)
        text = "A successor is made with the same rights. The old key ends when the time is over."
        return self.ask(request, key, f"Rotate {key.name}", text=text, button="Rotate", form=form)

    @on_page("Revoke", "block", danger=True)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then end the key."""
        key = self.one(request, object_id)
        if request.method != "POST":
            text = "Programs that carry it are refused at once. This cannot be undone."
            return self.ask(request, key, f"Revoke {key.name}", text=text, button="Revoke")
        self._revoke(request, key)
        self.message_user(request, f"{key.name} is revoked.", messages.SUCCESS)
        return HttpResponseRedirect(self.page_of(key.pk))

    @admin.action(description="Revoke the selected keys", permissions=["manage"])
    def revoke_selected(self, request: HttpRequest, rows: Any) -> None:
        """End the selected keys, where the person is an admin."""
        mine = [key for key in rows if self.allows(request, key, *self.managers)]
        for key in mine:
            self._revoke(request, key)
        self.message_user(request, f"Revoked: {len(mine)}.", messages.SUCCESS)

    @badge("State", STATES)
    def state(self, key: ApiKey) -> str:
        """Whether it works."""
        if key.revoked_at:
            return "revoked"
        if key.expires_at and key.expires_at <= timezone.now():
            return "expired"
        return "rotated" if key.rotated_to_id else "active"

    def _revoke(self, request: HttpRequest, key: ApiKey) -> None:
        keys.revoke(key, by=scope.user(request))
        self.log_change(request, key, "Revoked.")

    def _show_once(self, request: HttpRequest, key: ApiKey, text: str) -> HttpResponse:
        """Shown in the answer itself: a message kept for the next page would lie in a cookie or the database."""
        told = format_html('Copy the key now, it is not shown again: <code class="secret">{}</code>', text)
        self.message_user(request, told, messages.SUCCESS)
        kept = "Only a hash of it was kept."
        text = f"{kept} {MADE_FOR_ANOTHER}" if key.maker else kept
        return self.ask(request, key, f"{key.name}: the key", text=text)

    def _refused(self, request: HttpRequest, key: ApiKey, error: DomainError) -> HttpResponse:
        self.message_user(request, error.detail, messages.ERROR)
        return HttpResponseRedirect(self.page_of(key.pk))


@admin.register(IdempotentRequest)
class IdempotentRequestAdmin(RecordAdmin):
    """First answers that are held for a day; the answers themselves are nobody's to read here."""

    list_display = ("key", "endpoint", "status", "user", "workspace", "created_at")
    list_select_related = ("user", "workspace")
    list_filter = (("workspace", RelatedFilter),)
    search_fields = ("key",)
    search_help_text = "An Idempotency-Key"
    fields = ("key", "endpoint", "status", "user", "workspace", "created_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The rows, without what was asked and answered."""
        return super().get_queryset(request).defer("response", "request_hash")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """The rows with this very key."""
        return (queryset.filter(key=search_term) if search_term else queryset), False
