"""What every page of the admin keeps to: rows of the staff member's workspaces, and writes as their role allows."""

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import RelatedFieldListFilter, ShowFacets, SimpleListFilter
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import capfirst
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin import scope
from accounts.admin.forms import LinesField, RowField, RowSelect, ScopedForm
from accounts.admin.lists import Moment, NewestFirst, Pages
from accounts.models import Role
from core import ids
from core.errors import DomainError

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    Admin = ModelAdmin[models.Model]
else:
    from unfold.admin import ModelAdmin as Admin


F = TypeVar("F", bound=Callable[..., Any])


def badge(description: str, colours: Mapping[str, str]) -> Callable[[F], F]:
    """Of a method that gives a value, or a value and its text: shown as a label in the value's colour."""
    return cast(Callable[[F], F], display(description=description, label=colours))


def on_page(description: str, icon: str, *, danger: bool = False, permission: str = "manage") -> Callable[[F], F]:
    """Of a method: a button on a row's page, for those who may manage it or have the permission. A GET only asks."""
    variant = ActionVariant.DANGER if danger else ActionVariant.DEFAULT
    made = action(description=description, permissions=[permission], icon=icon, variant=variant)
    return cast(Callable[[F], F], made)


class RelatedFilter(RelatedFieldListFilter):
    """A filter by a related row, which offers those that the staff member may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        """The rows on offer."""
        rows = model_admin.admin_site.get_model_admin(field.related_model).get_queryset(request)
        ordering = self.field_admin_ordering(field, request, model_admin)
        limit = {"pk__in": rows.order_by().values("pk")}
        return list(field.get_choices(include_blank=False, ordering=ordering, limit_choices_to=limit))


class SinceFilter(SimpleListFilter):
    """Rows of the last hours, found by their ids."""

    title = "when"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The spans, in hours."""
        return [("1", "Last hour"), ("24", "Last 24 hours"), ("168", "Last 7 days")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The rows within the span."""
        hours = self.value()
        if hours not in ("1", "24", "168"):
            return queryset
        return queryset.filter(pk__gte=ids.first_since(timezone.now() - datetime.timedelta(hours=int(hours))))


class ScopedAdmin(Admin):
    """Pages of a model whose rows belong to a workspace, by a foreign key of that name unless told otherwise."""

    form: Any = ScopedForm
    formfield_overrides: ClassVar[dict[Any, Any]] = {}
    in_workspace: ClassVar[str] = "workspace"  # from a row to its workspace
    title: ClassVar[str] = ""  # of the list, where it is not the model's own name
    writes: ClassVar[frozenset[str]] = frozenset({"add", "change"})  # what an admin of the workspace may do
    lines: ClassVar[tuple[str, ...]] = ()  # JSON fields that hold lists of texts
    actions_detail: Any = ()
    list_per_page = 50
    list_filter_sheet = False
    list_horizontal_scrollbar_top = True  # above long lists, too, what is beside the page can be reached
    list_disable_select_all = True

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The rows of the workspaces that the person may look into."""
        rows = super().get_queryset(request)
        return rows if scope.sees_all(request) else self.within(rows, scope.workspaces(request, *scope.READERS))

    def within(self, rows: models.QuerySet[Any], workspaces: list[UUID]) -> models.QuerySet[Any]:
        """Those of the rows that belong to one of the workspaces."""
        return rows.filter(**{f"{self.in_workspace}__in": workspaces})

    def workspace_of(self, row: Any) -> UUID | None:
        """The workspace that a row belongs to."""
        return cast(UUID, row.workspace_id)

    def allows(self, request: HttpRequest, row: Any, *wanted: Role) -> bool:
        """Whether the person has one of these roles where the row is, or anywhere if there is no row."""
        return scope.holds(request, *wanted, workspace=self.workspace_of(row) if row is not None else None)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the model is listed at all."""
        return scope.reads(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Those who may look into the workspace may look at each of its rows."""
        return self.allows(request, obj, *scope.READERS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Admins of a workspace, where rows are made by hand."""
        return "add" in self.writes and self.allows(request, None, Role.ADMIN)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Admins of the workspace, where rows are changed by hand."""
        return "change" in self.writes and self.allows(request, obj, Role.ADMIN)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Admins of the workspace, where nothing was built on such rows."""
        return "delete" in self.writes and self.allows(request, obj, Role.ADMIN)

    def has_manage_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Whether the person may run actions: here, or anywhere if no row is named."""
        row = self.get_object(request, unquote(object_id)) if object_id else None
        return self.allows(request, row, *self.managers)

    managers: ClassVar[tuple[Role, ...]] = (Role.ADMIN,)  # who may run actions

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The actions on a list: deleting many rows at once is none of them."""
        found: dict[str, Any] = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    def get_list_display(self, request: HttpRequest) -> Any:
        """The columns; who looks into one workspace alone needs not be told which."""
        columns = super().get_list_display(request)
        many = scope.sees_all(request) or len(scope.roles(request)) > 1
        return [self.moments.get(name, name) for name in columns if many or name != "workspace"]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        """The columns that lead to a row's page."""
        return [self.moments.get(name, name) for name in super().get_list_display_links(request, list_display) or ()]

    @cached_property
    def moments(self) -> dict[Any, Moment]:
        """The columns of the model's times."""
        times = (field for field in self.opts.fields if isinstance(field, models.DateTimeField))
        return {field.name: Moment(field) for field in times}

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Filters in the address: those on offer alone, for others could ask for what is not shown."""
        offered = {getattr(one, "parameter_name", one) for one in _first(self.get_list_filter(request))}
        return lookup.split("__")[0] in offered and super().lookup_allowed(lookup, value, request)

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """A list of texts is edited as lines; a related row is chosen, not made or changed on the way."""
        if db_field.name in self.lines:
            help_text = db_field.help_text or "One on each line."
            return LinesField(required=False, help_text=help_text, widget=UnfoldAdminTextareaWidget({"rows": 4}))
        if isinstance(db_field, models.DateTimeField):
            kwargs["help_text"] = f"{db_field.help_text} In UTC.".strip()
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget.can_add_related = field.widget.can_change_related = False
            field.widget.can_delete_related = field.widget.can_view_related = False
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The rows to choose from: those of workspaces that the person is an admin of."""
        remote = self.admin_site.get_model_admin(db_field.related_model)
        rows = kwargs["queryset"] = remote.get_queryset(request)
        if isinstance(remote, ScopedAdmin) and not scope.sees_all(request):
            kwargs["queryset"] = remote.within(rows, scope.workspaces(request, Role.ADMIN))
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = RowSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, form_class=RowField, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The fields; a row that is yet to be made has no past to show."""
        found = super().get_fields(request, obj)
        return found if obj else [name for name in found if name not in self.get_readonly_fields(request)]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form; a row that exists stays in its workspace."""
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.refusal = getattr(request, "refusal", None)
        workspace = form.base_fields.get("workspace")
        mine = scope.workspaces(request, Role.ADMIN)
        if workspace is not None and obj is None and len(mine) == 1:
            workspace.initial = mine[0]
        if workspace is not None and obj is not None:
            workspace.disabled = True
            for field in form.base_fields.values():
                if hasattr(getattr(getattr(field, "queryset", None), "model", None), "workspace_id"):
                    field.queryset = field.queryset.filter(workspace=self.workspace_of(obj))
        return form

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """The buttons of a row's page, none where there is nothing to be done with it."""
        row = self.get_object(request, unquote(str(object_id)))
        return super().get_actions_detail(request, object_id) if row and self.acts_on(row) else []  # type: ignore[misc]

    def acts_on(self, row: Any) -> bool:
        """Whether there is anything to be done with the row."""
        return True

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The list, under the name that the sidebar has for it."""
        title = self.title or capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """The form's page; what a service refuses is shown in the form, and nothing was written."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DomainError as error:
            if hasattr(request, "refusal"):
                raise
            request.refusal = error  # type: ignore[attr-defined]
        return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """The page that asks before it deletes; what a service refuses is told on the row's page."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
        return HttpResponseRedirect(self.page_of(unquote(object_id)))

    def one(self, request: HttpRequest, object_id: str) -> Any:
        """The row that an action is about, whose permission was asked of `has_manage_permission`; raises Http404."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        return row

    def page_of(self, pk: object) -> str:
        """The address of a row's page."""
        return reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change", args=[pk])

    def ask(
        self, request: HttpRequest, row: Any, title: str, *, text: Any = "", button: str = "", form: Any = None
    ) -> HttpResponse:
        """A page that asks before an action is run or, without a button, tells what came of it."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": title,
            "text": text,
            "button": button,
            "form": form,
            "back": self.page_of(row.pk),
        }
        return TemplateResponse(request, "admin/ask.html", context)


class RecordAdmin(ScopedAdmin):
    """Pages of what was recorded: to be read, never written, in tables too big to count or sort at will."""

    writes = frozenset()
    paginator = Pages
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-pk",)
    search_fields = ("pk",)
    search_help_text = "An id"
    ids: ClassVar[tuple[str, ...]] = ("pk",)  # where the id that is searched for may stand

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """The list."""
        return NewestFirst

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """The rows with this id, or nothing: a text would be looked for in every row."""
        if not search_term:
            return queryset, False
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            return queryset.none(), False
        found = models.Q()
        for path in self.ids:
            found |= models.Q(**{path: wanted})
        return queryset.filter(found), False


def _first(entries: Any) -> list[Any]:
    return [entry[0] if isinstance(entry, tuple | list) else entry for entry in entries]
