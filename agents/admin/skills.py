"""Skills in the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin
from agents.models import Skill
from agents.services import skills


@admin.register(Skill)
class SkillAdmin(ScopedAdmin):
    """Bundles of tools that agents have. To change one is to change each of those agents."""

    writes = frozenset({"add", "change", "delete"})
    lines = ("tools",)
    list_display = ("name", "slug", "workspace", "updated_at")
    list_select_related = ("workspace",)
    list_filter = (("workspace", RelatedFilter),)
    search_fields = ("name", "slug")
    ordering = ("workspace__name", "name")
    readonly_fields = ("created_at", "updated_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is not set by the form: agents name a skill by its slug."""
        found = tuple(super().get_readonly_fields(request, obj))
        return ("slug", *found) if obj else found

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make the skill, or change it and the agents that have it."""
        by = scope.actor(request, obj.workspace)
        if not change:
            skills.keep_new(obj, by=by)
            return
        skills.change(
            obj, by=by, **{name: form.cleaned_data[name] for name in skills.SAID if name in form.changed_data}
        )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete a skill that no agent has."""
        skills.remove(obj, by=scope.actor(request, obj.workspace))
