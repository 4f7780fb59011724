"""The audit log in the admin: read by place, never counted; whether it is whole, and a copy to take away."""

import json
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import F, Func, OuterRef, Subquery, TextField, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from accounts.admin import scope
from accounts.admin.base import RecordAdmin, RelatedFilter, SinceFilter, badge
from accounts.models import User, Workspace
from approvals import shown
from approvals.admin import chains
from approvals.events import EVENTS
from approvals.models import ActorKind, AuditEvent, AuditPayload, AuditSeal
from approvals.services import proving
from approvals.services.audit import commit_to, person
from approvals.services.endings import told_apart
from core.ledger import INSTALLATION
from core.templatetags.moments import MILLISECONDS, moment

KINDS = {ActorKind.AGENT.label: "info", ActorKind.SYSTEM.label: "warning"}
ACTOR = r'"actor":("(?:[^"\\]|\\.)*")'  # in a payload, which need not be JSON any more where somebody changed it
MOST_CHAINS = 10  # shown above the list
PLACES = ("session_id", "agent_id", "actor_id", "target_id")  # where an id may stand, each with an index


class TypeFilter(SimpleListFilter):
    """Events of one name."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every name that there can be."""
        return [(name, name) for name in sorted(EVENTS)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The events of that name."""
        return queryset.filter(type=self.value()) if self.value() in EVENTS else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(RecordAdmin):
    """What happened, as it was written down in the transaction that it tells of."""

    list_display = ("at_text", "type", "who", "kind_badge", "on_what", "place", "home")
    list_select_related = ("seal",)
    list_display_links = ("at_text", "type")
    list_filter = (TypeFilter, SinceFilter, ("workspace", RelatedFilter))
    search_help_text = "The id of an event, actor, agent, session or target, or a person's address"
    fields: ClassVar[Any] = (
        "id", "at_text", "type", "meaning", "home", "who", "kind_badge", "actor_id", "behalf", "agent_id",
        "session_id", "on_what", "payload_text", "proof",
    )  # fmt: skip
    readonly_fields = (
        "id", "at_text", "meaning", "home", "who", "kind_badge", "behalf", "on_what", "payload_text", "proof",
    )  # fmt: skip

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["countersign/approvals.css"]}

    list_before_template = "approvals/chains.html"

    def get_urls(self) -> list[URLPattern]:
        """The pages of the whole log, before Django's own."""
        wrap = self.admin_site.admin_view
        own = {"verify": self.verify_view, "export": self.export_view}
        routes = [path(f"{name}/", wrap(view), name=f"approvals_auditevent_{name}") for name, view in own.items()]
        return [*routes, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, below how the chains stand."""
        held = self._workspaces(request)[:MOST_CHAINS] if scope.reads(request) else []
        context = {"chains": chains.shown(Workspace.objects.filter(pk__in=[row.pk for row in held]))}
        found: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **context})
        return found

    def verify_view(self, request: HttpRequest) -> HttpResponse:
        """Begin to look whether a chain is whole."""
        back = HttpResponseRedirect(reverse("admin:approvals_auditevent_changelist"))
        if request.method == "POST":
            begun = chains.verify(self._named(request).pk)
            messages.info(request, "It is being looked at; load the page again." if begun else "It is being looked at.")
        return back

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """A workspace's whole log as a file; that it was taken is logged."""
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:approvals_auditevent_changelist"))
        workspace = self._named(request)
        lines = proving.export(workspace.pk, by=person(scope.actor(request, workspace)))
        response = StreamingHttpResponse(chains.export(lines), content_type="application/jsonl")
        response["Content-Disposition"] = f'attachment; filename="audit-{workspace.slug}.jsonl"'
        return response

    def _workspaces(self, request: HttpRequest) -> Any:
        """The workspaces whose log the person may read."""
        rows = Workspace.objects.order_by("name")
        return rows if scope.sees_all(request) else rows.filter(pk__in=scope.workspaces(request, *scope.READERS))

    def _named(self, request: HttpRequest) -> Workspace:
        """The workspace that a form names; raises PermissionDenied for one whose log is not the person's to read."""
        try:
            wanted = UUID(request.POST.get("workspace", ""))
        except ValueError:
            raise PermissionDenied from None
        found: Workspace | None = self._workspaces(request).filter(pk=wanted).first()
        if found is None:
            raise PermissionDenied
        return found

    def get_queryset(self, request: HttpRequest) -> Any:
        """The events, with who did it as the payload names them, and the workspace's name if it is still there."""
        actor = Func(F("payload__data"), Value(ACTOR), function="substring", output_field=TextField())
        home = Workspace.objects.filter(pk=OuterRef("workspace_id")).values("name")
        person = User.objects.filter(pk=OuterRef("actor_id")).values("name")
        rows: Any = super().get_queryset(request)
        return rows.named().annotate(actor=actor, home_name=Subquery(home), person_name=Subquery(person))

    def get_list_display(self, request: HttpRequest) -> Any:
        """The columns; who looks into one workspace alone needs not be told which."""
        many = scope.sees_all(request) or len(scope.roles(request)) > 1
        return self.list_display if many else self.list_display[:-1]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """The events of this id or address: by the first of the indexes that knows it."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            people = User.objects.filter(email=term.lower()).values_list("pk", flat=True)
            return self._in_places(request, queryset.filter(actor_id__in=list(people))), False
        try:
            wanted = UUID(term)
        except ValueError:
            return queryset.none(), False
        if queryset.filter(pk=wanted).exists():
            return queryset.filter(pk=wanted), False
        for place in PLACES:
            found = self._in_places(request, queryset.filter(**{place: wanted}))
            if found.exists():
                return found, False
        return queryset.none(), False

    def _in_places(self, request: HttpRequest, rows: Any) -> Any:
        """The rows in the workspaces that there are: the indexes begin with the workspace."""
        if not scope.sees_all(request):
            return rows
        return rows.filter(workspace__in=[INSTALLATION, *Workspace.objects.values_list("pk", flat=True)])

    @admin.display(description="At")
    def at_text(self, event: AuditEvent) -> str:
        """When, by the database's clock."""
        return moment(event.at, MILLISECONDS)

    @admin.display(description="Workspace")
    def home(self, event: Any) -> str:
        """The workspace's name; a log outlives its workspace."""
        if event.workspace_id == INSTALLATION:
            return "the installation"
        return shown.visible_line(event.home_name or str(event.workspace_id))

    @admin.display(description="What it tells")
    def meaning(self, event: AuditEvent) -> str:
        """What events of this name tell."""
        return EVENTS.get(event.type, "")

    @admin.display(description="Who")
    def who(self, event: Any) -> str:
        """Who did it: an agent by its name, a person by name with the address that they had then."""
        try:
            label = json.loads(event.actor or '""')
        except ValueError:  # somebody changed it; `proof` says so
            label = event.actor
        if event.actor_kind == ActorKind.SYSTEM:
            return shown.visible_line(label or "Countersign")
        if event.actor_kind == ActorKind.AGENT:
            name = event.agent_name or label
        else:  # one who is erased keeps no name here, whatever the account has
            name = f"{event.person_name} ({label})" if label and event.person_name else label
        return shown.visible_line(name or f"{event.actor_kind} …{str(event.actor_id)[-6:]}")

    @badge("Kind", KINDS)
    def kind_badge(self, event: AuditEvent) -> str:
        """A person, an agent or the system itself."""
        return ActorKind(event.actor_kind).label

    @admin.display(description="On behalf of")
    def behalf(self, event: AuditEvent) -> str:
        """The person behind it."""
        if event.person_id is None:
            return "-"
        found = User.objects.filter(pk=event.person_id).first()
        return shown.visible_line(told_apart(found) or str(event.person_id))

    @admin.display(description="On what")
    def on_what(self, event: AuditEvent) -> str:
        """What it was about, with the way there where the admin has a page of it."""
        name = PAGES.get(event.target_kind)
        if event.target_id is None:
            return event.target_kind or "-"
        if name is None:
            return f"{event.target_kind} …{str(event.target_id)[-6:]}"
        return format_html(
            '<a class="text-link" href="{}">{} …{}</a>',
            reverse(f"admin:{name}_change", args=[event.target_id]),
            event.target_kind,
            str(event.target_id)[-6:],
        )

    @admin.display(description="Place")
    def place(self, event: AuditEvent) -> str:
        """Its place in the workspace's chain."""
        seal = _seal(event)
        return f"{seal.seq}" if seal else "not sealed yet"

    @admin.display(description="All of it")
    def payload_text(self, event: AuditEvent) -> str:
        """The payload, or that it was erased."""
        payload = AuditPayload.objects.filter(pk=event.pk).first()
        if payload is None:
            return "It was erased; the chain holds without it."
        try:
            text = shown.json_html(json.loads(payload.data))
        except ValueError:  # somebody changed it; `proof` says so
            text = shown.visible(payload.data)
        return format_html('<pre class="exact">{}</pre>', text)

    @admin.display(description="Proof")
    def proof(self, event: AuditEvent) -> str:
        """Its place in the chain, and whether the payload is the one that was committed to."""
        seal, payload = _seal(event), AuditPayload.objects.filter(pk=event.pk).first()
        commitment = bytes(event.commitment)
        if payload is None:
            held = "The payload is gone; its commitment stands."
        elif commit_to(bytes(payload.salt), payload.data) == commitment:
            held = "The payload is the one that was committed to."
        else:
            held = "THE PAYLOAD IS NOT THE ONE THAT WAS COMMITTED TO."
        return format_html(
            '<div class="whole">{}</div><div>{}</div><div class="whole">{}</div>',
            f"Place {seal.seq}, hash {bytes(seal.hash).hex()}" if seal else "It is not sealed yet.",
            held,
            f"commitment {commitment.hex()}",
        )


PAGES = {
    "approval": "approvals_approval",
    "action": "chat_action",
    "run": "chat_run",
    "policy": "approvals_policy",
    "grant": "approvals_grant",
    "agent": "agents_agent",
    "workspace": "accounts_workspace",
}


def _seal(event: AuditEvent) -> AuditSeal | None:
    """The event's seal; None where it waits for one."""
    try:
        return event.seal
    except AuditSeal.DoesNotExist:
        return None
