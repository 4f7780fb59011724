"""A browser of memories, by person and companion.

What a companion remembers of somebody is theirs more than anything else here. So admins of the workspace alone may
look, managers and auditors not; each look is told to the audit log, with the person as its target; and nothing is
changed but by forgetting it.
"""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin
from accounts.models import Role
from approvals.services import audit
from core.errors import DomainError
from memory.admin import pages
from memory.models import Author, Entry, Owner
from memory.services import forgetting, standing
from memory.services.entries import By

MOST_SELECTED = 100


@admin.register(Owner)
class OwnerAdmin(ScopedAdmin):
    """Whose memories there are."""

    writes = frozenset()
    list_display = ("person", "with_whom", "workspace", "entries", "rests", "created_at")
    list_select_related = ("user", "companion", "workspace")
    list_filter = ("paused", ("companion", RelatedFilter), ("workspace", RelatedFilter))
    search_fields = ("user__email", "user__name")
    search_help_text = "A person's address or name"
    ordering = ("-pk",)
    sortable_by = ()
    show_full_result_count = False
    list_before_template = "memory/embedder.html"

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["countersign/approvals.css", "countersign/memory.css"]}

    def get_urls(self) -> list[URLPattern]:
        """The pages of single memories, before Django's own."""
        wrap = self.admin_site.admin_view
        return [
            path("<path:object_id>/entry/<uuid:entry_id>/", wrap(self.entry_view), name="memory_entry"),
            path("<path:object_id>/forget/", wrap(require_POST(self.forget_view)), name="memory_forget"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Those of the workspaces that the person is an admin of, with how many memories each has."""
        rows = super().get_queryset(request)
        if not scope.sees_all(request):
            rows = self.within(rows, scope.workspaces(request, Role.ADMIN))
        own = Entry.objects.filter(owner=OuterRef("pk")).order_by().values("owner")
        return rows.annotate(count=Coalesce(Subquery(own.annotate(count=Count("pk")).values("count")), 0))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Admins alone."""
        return scope.holds(request, Role.ADMIN)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Admins of the workspace alone."""
        return self.allows(request, obj, Role.ADMIN)

    @admin.display(description="Person")
    def person(self, owner: Owner) -> str:
        """Of whom it is."""
        return owner.user.email

    @admin.display(description="Companion")
    def with_whom(self, owner: Owner) -> str:
        """With whom it is kept."""
        return pages.companion_name(owner)

    @admin.display(description="Paused")
    def rests(self, owner: Owner) -> str:
        """Whether its person paused it."""
        return "paused" if owner.paused else ""

    @admin.display(description="Memories")
    def entries(self, owner: Any) -> int:
        """How many there are, messages among them."""
        return int(owner.count)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, below how vectors stand."""
        found: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "standing": standing.now()})
        return found

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """An owner's memories: by layer and status, or the best for a search with what their scores are made of."""
        owner: Any = self.get_object(request, unquote(object_id))
        if owner is None or not self.has_view_permission(request, owner):
            found: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
            return found
        if request.method != "GET":
            raise PermissionDenied
        self._browsed(request, owner)
        asked = pages.Asked.read(request.GET)
        context = {**self._context(request, owner), "standing": standing.now(), **pages.listed(owner, asked)}
        return TemplateResponse(request, "memory/browser.html", context)

    def entry_view(self, request: HttpRequest, object_id: str, entry_id: UUID) -> HttpResponse:
        """One memory: what it says, why it is known, and what it was before."""
        owner = self._owner(request, object_id)
        if request.method != "GET":
            raise PermissionDenied
        entry = pages.entry(owner, entry_id)
        if entry is None:
            messages.warning(request, "There is no such memory any more.")
            return HttpResponseRedirect(self.page_of(owner.pk))
        self._browsed(request, owner, entry)
        return TemplateResponse(request, "memory/entry.html", {**self._context(request, owner), **pages.one(entry)})

    def forget_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then forget what was selected for good."""
        owner = self._owner(request, object_id)
        back = HttpResponseRedirect(self.page_of(owner.pk))
        chosen = pages.chosen(owner, request.POST.getlist("entry")[:MOST_SELECTED])
        if not chosen:
            messages.warning(request, "Select the memories that are to be forgotten.")
            return back
        if "confirmed" not in request.POST:
            context = {**self._context(request, owner), "chosen": chosen, "title": "Forget for good"}
            return TemplateResponse(request, "memory/forget.html", context)
        gone, actor = 0, scope.actor(request, owner.workspace)
        by = By(Author.MANAGER, audit.person(actor), actor.user)
        for entry in chosen:
            try:
                gone += forgetting.forget(entry, by=by)
            except DomainError as error:  # one that went with another before it, or that an answer is being told
                if Entry.objects.filter(pk=entry.pk).exists():
                    messages.error(request, error.detail)
        messages.success(request, f"Forgotten for good: {gone}.")
        return back

    def _owner(self, request: HttpRequest, object_id: str) -> Owner:
        """The owner; raises Http404, or PermissionDenied for whoever is no admin of its workspace."""
        if not scope.holds(request, Role.ADMIN):
            raise PermissionDenied
        owner: Any = self.get_object(request, unquote(object_id))
        if not isinstance(owner, Owner):
            raise Http404
        return owner

    def _context(self, request: HttpRequest, owner: Owner) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": owner,
            "owner": owner,
            "title": f"{owner.user.email} and {pages.companion_name(owner)}",
            "media": self.media,
            "back": self.page_of(owner.pk),
            "list": reverse(f"{self.admin_site.name}:memory_owner_changelist"),
        }

    @staticmethod
    @transaction.atomic
    def _browsed(request: HttpRequest, owner: Owner, entry: Entry | None = None) -> None:
        """Tell the log who looked at whose memories; not what they searched for."""
        said = {"companion": owner.companion.type if owner.companion else "", "memory": str(entry.pk) if entry else ""}
        audit.record(
            audit.Entry(
                type="memory.browsed",
                workspace_id=owner.workspace_id,
                who=audit.person(scope.actor(request, owner.workspace)),
                target=("person", owner.user_id),
                data={name: value for name, value in said.items() if value},
            )
        )
