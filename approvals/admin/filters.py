"""Filters of the admin's lists that cost the same however long these are."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.http import HttpRequest

NEWEST = 1_000


class ToolFilter(SimpleListFilter):
    """Rows of one tool; on offer are those of the newest rows."""

    title = "tool"
    parameter_name = "tool"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The tools of the newest rows that the person may look at, and the one asked for."""
        newest = model_admin.get_queryset(request).order_by("-pk").values("pk")[:NEWEST]
        rows = model_admin.model._default_manager.filter(pk__in=newest).order_by()
        found = {*rows.values_list("tool", flat=True).distinct(), self.value() or ""}
        return [(name, name) for name in sorted(found) if name]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The rows of the tool."""
        return queryset.filter(tool=self.value()) if self.value() else queryset
