"""Budgets in the admin, with what is used of them; here rather than below because some are an agent's."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin import scope
from accounts.admin.base import RelatedFilter, ScopedAdmin
from accounts.admin.forms import ScopedForm
from accounts.models import Budget, BudgetPeriod, BudgetScope, Role, User
from accounts.services import budgets, holds
from accounts.services.budgets import Limit
from accounts.services.holds import Standing
from agents.models import Agent


class BudgetForm(ScopedForm):
    """A budget; whose it is stands in `user` or `agent`, as its scope says."""

    instance: Budget
    agent = forms.ModelChoiceField(
        Agent.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Where one agent's use is limited.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "agent" in self.fields and self.instance.agent_id:
            self.fields["agent"].initial = self.instance.agent_id

    def clean(self) -> dict[str, Any]:
        """What was filled in, with the agent in its place."""
        cleaned = super().clean()
        whose, agent = cleaned.get("scope", self.instance.scope), cleaned.get("agent")
        if whose != BudgetScope.PERSON:
            cleaned["user"] = None
        self.instance.agent_id = agent.pk if agent and whose == BudgetScope.AGENT else None
        return cleaned


@admin.register(Budget)
class BudgetAdmin(ScopedAdmin):
    """What models may be used for; what is over a budget is refused before a model is asked."""

    form = BudgetForm
    writes = frozenset({"add", "change", "delete"})
    list_display = ("whose", "period", "tokens_used", "usd_used", "enabled", "workspace")
    list_select_related = ("workspace", "user")
    list_filter = ("scope", "period", "enabled", ("workspace", RelatedFilter))
    ordering = ("workspace__name", "created_at")
    fields: ClassVar[Any] = (
        "workspace", "scope", "user", "agent", "period", "tokens", "usd", "enabled", "tokens_used", "usd_used",
    )  # fmt: skip
    readonly_fields = ("tokens_used", "usd_used")

    def get_queryset(self, request: HttpRequest) -> Any:
        """The budgets, with the slugs of the agents that they name."""
        slug = Agent.objects.filter(pk=OuterRef("agent_id")).values("slug")[:1]
        return super().get_queryset(request).annotate(slug=Subquery(slug))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is counted stays."""
        fixed = ("scope", "period") if obj else ()
        seen = ("agent_id",) if obj and not self.has_change_permission(request, obj) else ()
        return (*self.readonly_fields, *fixed, *seen)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may not change it sees the agent's id alone."""
        found = super().get_fields(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return found
        return tuple("agent_id" if name == "agent" else name for name in found)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, with the agents of workspaces that the person is an admin of."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if "agent" in form.base_fields:
            agents = Agent.objects.order_by("name")
            if obj is not None:
                agents = agents.filter(workspace=obj.workspace_id)
            elif not scope.sees_all(request):
                agents = agents.filter(workspace__in=scope.workspaces(request, Role.ADMIN))
            form.base_fields["agent"].queryset = agents
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The people to choose from: members of workspaces that the person is an admin of."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "user":
            people = User.objects.order_by("email")
            if not scope.sees_all(request):
                people = people.filter(memberships__workspace__in=scope.workspaces(request, Role.ADMIN)).distinct()
            field.queryset = people
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the budget; raises what the service refuses."""
        budgets.save(obj, by=scope.actor(request, obj.workspace))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the budget with what was counted for it."""
        budgets.remove(obj, by=scope.actor(request, obj.workspace))

    @admin.display(description="Whose use", ordering="scope")
    def whose(self, budget: Any) -> str:
        """Whose use it limits."""
        label = str(BudgetScope(budget.scope).label)
        if budget.scope == BudgetScope.PERSON:
            return f"{label}: {budget.user}"
        return f"{label}: {budget.slug or '(gone)'}" if budget.scope == BudgetScope.AGENT else label

    @admin.display(description="Tokens")
    def tokens_used(self, budget: Budget) -> str:
        """What is used of them, as a bar."""
        if budget.tokens is None:
            return "no limit"
        standing = _standing(budget)
        used = standing.used.tokens if standing else None
        return _bar(used, budget.tokens, f"{budget.tokens:,}", "{:,}")

    @admin.display(description="US dollars")
    def usd_used(self, budget: Budget) -> str:
        """What is used of them, as a bar."""
        if budget.usd is None:
            return "no limit"
        standing = _standing(budget)
        used = (standing.used.usd or Decimal(0)) if standing else None
        return _bar(used, budget.usd, f"{budget.usd:,.2f}", "{:,.2f}")


def _standing(budget: Budget) -> Standing | None:
    """How the budget stands, asked once for each row; None where it counts each person, or nobody yet."""
    if budget.scope == BudgetScope.EACH_PERSON:
        return None
    if not hasattr(budget, "_stands"):
        subject = {BudgetScope.PERSON: budget.user_id, BudgetScope.AGENT: budget.agent_id}.get(
            BudgetScope(budget.scope), budget.workspace_id
        )
        if subject is None:
            return None  # a form that was filled in wrong
        limit = Limit(
            budget.pk, subject, BudgetScope(budget.scope), BudgetPeriod(budget.period), budget.tokens, budget.usd
        )
        budget._stands = holds.standings([limit], workspace_id=budget.workspace_id)[0]  # type: ignore[attr-defined]
    found: Standing = budget._stands  # type: ignore[attr-defined]
    return found


def _bar(used: int | Decimal | None, limit: int | Decimal, most: str, pattern: str) -> str:
    """A bar with its figures; of what each person has, the limit alone."""
    if used is None:
        return f"{most} each"
    share = min(1.0, float(used) / float(limit)) if limit else 1.0
    return format_html(
        '<meter min="0" max="1" low="0.75" high="0.9" optimum="0" value="{}"></meter> {} of {}',
        f"{share:.3f}",
        pattern.format(used),
        most,
    )
