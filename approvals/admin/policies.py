"""Policies in the admin: changed through the service alone, tried on the calls of the last days before that."""

import datetime
import re
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import F, Func, IntegerField
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin import scope
from accounts.admin.base import RecordAdmin, RelatedFilter, ScopedAdmin, badge
from accounts.admin.forms import ScopedForm
from accounts.models import Membership, Role, Tier, User
from approvals import shown, standing
from approvals.models import Effect, Policy, PolicyVersion, Risk
from approvals.services import policies, simulation
from approvals.terms import in_words
from core.errors import DomainError

EFFECTS = {Effect.ALLOW.label: "success", Effect.ASK.label: "warning", Effect.DENY.label: "danger"}
UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
DAYS = (1, 7, 30)
_SPAN = re.compile(r"\s*(\d{1,6})\s*(s|min|h|d)\b")


class SpanField(forms.CharField):
    """A length of time as people write it: `24 h`, `1 h 30 min`, `2 d`."""

    def prepare_value(self, value: Any) -> Any:
        """The time as text."""
        return shown.span(value) if isinstance(value, datetime.timedelta) else value

    def to_python(self, value: Any) -> Any:
        """The time, None for none; raises ValidationError for what is no time."""
        if isinstance(value, datetime.timedelta):
            return value
        text, place, seconds = str(value or "").strip(), 0, 0
        while place < len(text):
            part = _SPAN.match(text, place)
            if part is None:
                raise forms.ValidationError("A time such as 24 h, 1 h 30 min or 2 d.")
            seconds += int(part[1]) * UNITS[part[2]]
            place = part.end()
        return datetime.timedelta(seconds=seconds) if text else None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether it is another time now."""
        try:
            return bool(initial != self.to_python(data))
        except forms.ValidationError:
            return True


def _ticks(choices: Any, label: str, help_text: str, ticked: tuple[str, ...] = ()) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        choices=choices,
        required=False,
        initial=ticked,
        label=label,
        help_text=help_text,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )


def _span(label: str, help_text: str, name: str = "") -> SpanField:
    """A field for a time; one that is needed begins with the default of the model's field of that name."""
    default = getattr(Policy._meta.get_field(name), "default", None) if name else None
    return SpanField(
        label=label, help_text=help_text, required=bool(name), initial=default, widget=UnfoldAdminTextInputWidget
    )


class PolicyForm(ScopedForm):
    """A rule; what it says is checked by the service."""

    risks = _ticks(Risk.choices, "Risks", "None ticked: all.")
    tiers = _ticks(Tier.choices, "Tiers of the workspace", "None ticked: all.")
    approver_roles = _ticks(
        [(role, role.label) for role in Role if role != Role.MEMBER],
        "Roles that are asked",
        "Where a role is asked, admins may decide too. Beside them the groups and people below are asked.",
        (Role.MANAGER.value,),
    )
    condition = forms.CharField(
        required=False,
        max_length=2_000,
        strip=True,
        label="Condition",
        help_text=(
            "CEL over args, person, tool, risk, agent, companion; empty: always. "
            'For example: args.service in ["billing", "login"] && person.role != "admin". A condition that fails asks.'
        ),
        widget=UnfoldAdminTextareaWidget({"rows": 3, "spellcheck": "false"}),
    )
    description = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget({"rows": 2}))
    request_lasts = _span("Time to decide", "For example 24 h; then the request expires.", "request_lasts")
    approval_lasts = _span("Time to start", "For example 1 h, from the approval on.", "approval_lasts")
    escalate_after = _span("Escalate after", "For example 30 min without a decision; empty: never.")

    def clean(self) -> dict[str, Any]:
        """What was filled in; the groups and people are of the workspace."""
        cleaned = super().clean()
        workspace = cleaned.get("workspace") or getattr(self.instance, "workspace", None)
        if workspace is None:
            return cleaned
        groups, people = cleaned.get("approver_groups"), cleaned.get("approver_people")
        if groups is not None and groups.exclude(workspace=workspace).exists():
            self.add_error("approver_groups", "A group of another workspace is among them.")
        members = Membership.objects.filter(workspace=workspace).values("user")
        if people is not None and people.exclude(pk__in=members).exists():
            self.add_error("approver_people", "Somebody who is no member of the workspace is among them.")
        return cleaned


@admin.register(Policy)
class PolicyAdmin(ScopedAdmin):
    """The rules that say whether a call runs, waits or is refused."""

    form = PolicyForm
    writes = frozenset({"add", "change", "delete"})
    list_display = ("name", "effect_badge", "tool", "agent", "risks_text", "whom", "priority", "enabled", "workspace")
    list_select_related = ("workspace",)
    list_filter = ("effect", "enabled", ("workspace", RelatedFilter))
    search_fields = ("name", "tool")
    ordering = ("workspace__name", "priority", "name")
    change_form_template = "approvals/policy_form.html"
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("workspace", "name", "description", "enabled", "effect", "priority", "valid_until")}),
        (
            "Which calls",
            {"fields": ("tool", "agent", "companion", "risks", "tiers", "condition", "covers_advisors")},
        ),
        (
            "Whom it asks",
            {
                "fields": (
                    ("quorum_approve", "quorum_reject"),
                    "approver_roles", "approver_groups", "approver_people", ("escalate_after", "escalate_to"),
                )
            },
        ),
        (
            "How it asks",
            {
                "fields": (
                    ("request_lasts", "approval_lasts"), "most_per_run",
                    "editable", "fresh_password", "digest_required", "may_remember",
                )
            },
        ),
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Every field of the fieldsets."""
        return [name for _, part in self.fieldsets for entry in part["fields"] for name in _flat(entry)]

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The groups and people to choose from: those of workspaces that the person is an admin of."""
        remote = db_field.related_model
        rows = remote._default_manager.all()
        if not scope.sees_all(request):
            path = "memberships__workspace__in" if remote is User else "workspace__in"
            rows = rows.filter(**{path: scope.workspaces(request, Role.ADMIN)}).distinct()
        order = "email" if remote is User else "name"
        kwargs |= {"queryset": rows.order_by(order), "widget": UnfoldAdminCheckboxSelectMultipleWidget()}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make the rule part of the workspace's next version; raises what the service refuses."""
        groups, people = _whom(form)
        policies.save(obj, groups=groups, people=people, by=scope.actor(request, obj.workspace))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: the service has stored the groups and people with the rule."""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Take the rule out of the workspace's next version; raises what the service refuses."""
        policies.delete(obj, by=scope.actor(request, obj.workspace))

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """The form; with `_simulate` what it would change, with `_again` as it was filled in, and nothing is stored."""
        asked = {"_simulate", "_again"} & set(request.POST)
        if asked:
            row = self.get_object(request, unquote(object_id)) if object_id else None
            allowed = self.has_change_permission(request, row) if row else self.has_add_permission(request)
            if not allowed or (object_id and row is None):
                raise PermissionDenied
            form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
            if "_simulate" in asked and form.is_valid():
                return self._simulated(request, form)
            if "_again" in asked:
                request.refusal = Again()  # type: ignore[attr-defined]  # so that the form is shown and not saved
        days = {"simulation_days": DAYS}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **days})

    def _simulated(self, request: HttpRequest, form: Any) -> HttpResponse:
        policy, days = form.save(commit=False), request.POST.get("_days", "")
        many = int(days) if days in map(str, DAYS) else DAYS[1]
        context: dict[str, Any] = {"policy": policy, "days": many, "title": "What would change", "opts": self.opts}
        try:
            groups, people = _whom(form)
            draft = policies.Draft(policy=policy, groups=groups, people=people)
            context["report"] = simulation.simulate(draft, timezone.now() - datetime.timedelta(days=many))
        except DomainError as error:
            context["problem"] = error.detail
        own = ("csrfmiddlewaretoken", "_simulate", "_days")
        fields = [(name, value) for name, values in request.POST.lists() for value in values if name not in own]
        whole = {**self.admin_site.each_context(request), "given": fields, **context}
        return TemplateResponse(request, "approvals/simulation.html", whole)

    @badge("Effect", EFFECTS)
    def effect_badge(self, policy: Policy) -> str:
        """What it says, in a colour."""
        return Effect(policy.effect).label

    @admin.display(description="Risks")
    def risks_text(self, policy: Policy) -> str:
        """The risks that it is about."""
        return ", ".join(policy.risks) or "all"

    @admin.display(description="Asks")
    def whom(self, policy: Policy) -> str:
        """How many of whom, in short."""
        if policy.effect != Effect.ASK:
            return "-"
        whom = [f"{role}s" for role in policy.approver_roles] or ["groups and people"]
        return in_words(policy.quorum_approve, whom)


@admin.register(PolicyVersion)
class PolicyVersionAdmin(RecordAdmin):
    """All rules of a workspace as they stood from a moment on."""

    list_display = ("version_text", "created_at", "author", "many", "workspace")
    list_select_related = ("author", "workspace")
    list_display_links = ("version_text",)
    list_filter = (("workspace", RelatedFilter),)
    fields = ("version_text", "workspace", "author", "created_at", "change", "rules_text")
    readonly_fields = ("version_text", "change", "rules_text")

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["countersign/approvals.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        """The versions, with the number of their rules in place of the rules."""
        length = Func(F("rules"), function="jsonb_array_length", output_field=IntegerField())
        return super().get_queryset(request).defer("rules").annotate(length=length)

    @admin.display(description="Version")
    def version_text(self, version: PolicyVersion) -> str:
        """Its number."""
        return str(version)

    @admin.display(description="Rules")
    def many(self, version: Any) -> int:
        """How many there are."""
        return int(version.length)

    @admin.display(description="What changed")
    def change(self, version: PolicyVersion) -> str:
        """The rules beside those of the version before, line by line."""
        rows = PolicyVersion.objects.filter(workspace_id=version.workspace_id, version__lt=version.version)
        before = rows.order_by("-version").values_list("rules", flat=True).first()
        return render_to_string("approvals/changes.html", {"changes": standing.changes(before or [], version.rules)})

    @admin.display(description="The rules")
    def rules_text(self, version: PolicyVersion) -> str:
        """The rules, as decisions refer to them."""
        return format_html('<pre class="exact">{}</pre>', shown.json_html(version.rules))


class Again(DomainError):
    """Nothing is refused: the form is looked at again."""

    default_detail = "Nothing was stored yet."


def _whom(form: Any) -> tuple[list[UUID], list[UUID]]:
    """The groups and people of a form."""
    groups, people = (form.cleaned_data[f"approver_{name}"] for name in ("groups", "people"))
    return [row.pk for row in groups], [row.pk for row in people]


def _flat(entry: Any) -> Iterator[str]:
    yield from entry if isinstance(entry, tuple) else (entry,)
