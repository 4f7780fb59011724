"""Teams of agents in the admin."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin
from accounts.models import Role
from agents.models import Agent, AgentTeam, TeamMember
from agents.services import teams
from agents.teams import MOST_MEMBERS


class TeamMemberInline(TabularInline):  # type: ignore[misc]  # unfold is not typed
    """The members, in the order in which they speak."""

    model = TeamMember
    extra = 0
    max_num = MOST_MEMBERS
    fields = ("agent", "place")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The agents of the team's workspace, or of those that the person is an admin of."""
        rows = Agent.objects.order_by("name")
        if not scope.sees_all(request):
            rows = rows.filter(workspace__in=scope.workspaces(request, Role.ADMIN))
        return super().formfield_for_foreignkey(db_field, request, queryset=rows, **kwargs)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may look at the team."""
        return scope.reads(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Admins."""
        return scope.holds(request, Role.ADMIN, workspace=obj.workspace_id if obj else None)

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(AgentTeam)
class AgentTeamAdmin(ScopedAdmin):
    """Agents that answer together. A team that was talked with is switched off, not deleted."""

    list_display = ("name", "slug", "workspace", "chat_mode", "lead", "enabled", "updated_at")
    list_select_related = ("workspace", "lead")
    list_filter = ("chat_mode", "enabled", ("workspace", RelatedFilter))
    search_fields = ("name", "slug")
    ordering = ("workspace__name", "name")
    readonly_fields = ("created_at", "updated_at")
    fields: ClassVar[Any] = (
        "workspace", "name", "slug", "description", "chat_mode", "lead", "enabled", "created_at", "updated_at",
    )  # fmt: skip
    inlines = (TeamMemberInline,)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the team; what became other is told once its members are stored too."""
        if not change:
            teams.check_room(obj.workspace_id)
        request.team_before = teams.told(AgentTeam.objects.get(pk=obj.pk)) if change else None  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Store the members, all of the team's workspace, and tell the log of it."""
        super().save_related(request, form, formsets, change)
        team = form.instance
        teams.check(team)
        by = scope.actor(request, team.workspace)
        teams.record(team, by, before=request.team_before)  # type: ignore[attr-defined]
