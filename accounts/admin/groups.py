"""Groups of approvers in the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin
from accounts.models import Group, Role, User
from accounts.services import groups


@admin.register(Group)
class GroupAdmin(ScopedAdmin):
    """People who are asked together, such as those on call; policies name groups."""

    writes = frozenset({"add", "change", "delete"})
    list_display = ("name", "size", "workspace", "created_at")
    list_select_related = ("workspace",)
    list_filter = (("workspace", RelatedFilter),)
    search_fields = ("name",)
    ordering = ("workspace__name", "name")
    fields = ("workspace", "name", "members")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The groups, with the number of their members."""
        return super().get_queryset(request).annotate(many=Count("members"))

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The people to choose from: members of workspaces that the person is an admin of."""
        people = User.objects.order_by("email")
        if not scope.sees_all(request):
            mine = scope.workspaces(request, Role.ADMIN)
            people = people.filter(memberships__workspace__in=mine).distinct()
        kwargs |= {"queryset": people, "widget": UnfoldAdminCheckboxSelectMultipleWidget()}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the group with its members; raises what the service refuses."""
        chosen = [user.pk for user in form.cleaned_data["members"]]
        groups.save(obj, members=chosen, by=scope.actor(request, obj.workspace))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: the service has stored the members with the group."""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """End the group; raises what the service refuses."""
        groups.delete(obj, by=scope.actor(request, obj.workspace))

    @admin.display(description="Members", ordering="many")
    def size(self, group: Any) -> int:
        """How many there are."""
        return int(group.many)
