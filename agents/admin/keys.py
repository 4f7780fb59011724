"""People's own keys for model providers, in the admin: that there are some, and the way to take one away."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin
from agents.models import ProviderKey
from agents.services import keys


@admin.register(ProviderKey)
class ProviderKeyAdmin(ScopedAdmin):
    """Whose messages go where with a key of their own. The key itself is shown nowhere."""

    writes = frozenset({"delete"})
    list_display = ("provider", "user", "workspace", "created_at", "updated_at")
    list_select_related = ("user", "workspace")
    list_filter = ("provider", ("workspace", RelatedFilter))
    search_fields = ("user__email",)
    ordering = ("workspace__name", "provider", "user__email")
    fields = ("provider", "user", "workspace", "created_at", "updated_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        """The keys' rows, without the keys."""
        return super().get_queryset(request).defer("api_key")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Remove the key and tell the log."""
        keys.delete(obj, by=scope.actor(request, obj.workspace))
