"""Budgets, with what is used of each; here rather than below because some are an agent's."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from accounts.models import Actor, Budget, BudgetPeriod, BudgetScope
from accounts.pages import charts, console
from accounts.pages.forms import MemberField
from accounts.services import budgets, holds
from accounts.services.budgets import Limit
from agents.models import Agent

BUDGETS = "budgets"
BACK = console.SECTIONS[BUDGETS].path


class LimitsForm(forms.Form):
    """What a budget limits."""

    tokens = forms.IntegerField(
        min_value=0,
        max_value=2**53,
        required=False,
        help_text=f"In and out together. {settings.BUDGET_ANSWER_TOKENS:,} are held back for an answer before it is "
        "known how long it gets: fewer let none through. Empty: no limit.",
    )
    usd = forms.DecimalField(
        min_value=0, max_digits=14, decimal_places=4, required=False, label="US dollars", help_text="Empty: no limit."
    )
    enabled = forms.BooleanField(required=False, initial=True, label="It is on")


class BudgetForm(LimitsForm):
    """A new budget: whose use it limits, and for how long."""

    scope = forms.ChoiceField(choices=BudgetScope.choices, label="Whose use", widget=forms.RadioSelect)
    user = MemberField(label="The person", help_text="For “One person”: the e-mail address of a member.")
    agent = forms.ModelChoiceField(Agent.objects.none(), label="The agent", help_text="For “One agent”.")
    period = forms.ChoiceField(choices=BudgetPeriod.choices, initial=BudgetPeriod.MONTH, label="It begins anew after")
    field_order = ("scope", "user", "agent", "period", "tokens", "usd", "enabled")

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        person, agents = self.fields["user"], self.fields["agent"]
        assert isinstance(person, MemberField)
        assert isinstance(agents, forms.ModelChoiceField)
        person.within(actor)
        agents.queryset = Agent.objects.visible_to(actor).order_by("name")

    def clean(self) -> dict[str, Any]:
        """What was said; of a person or an agent only where the scope is about one: others are not shown for it."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        for name, scope in (("user", BudgetScope.PERSON), ("agent", BudgetScope.AGENT)):
            if found.get("scope") != scope:
                found[name] = None
                self.errors.pop(name, None)
        return found


@console.reads(BUDGETS)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The budgets, each with what is used of it."""

    def found(search: str) -> Any:
        rows = Budget.objects.visible_to(actor).select_related("user").order_by("created_at", "pk")
        if not search:
            return rows
        agents = Agent.objects.visible_to(actor).filter(name__icontains=search).values("pk")
        return rows.filter(Q(user__email__icontains=search) | Q(user__name__icontains=search) | Q(agent_id__in=agents))

    listed = console.listed(request, found)
    rows = list(listed.rows)
    whose, limits = _whose(actor, rows), [limit for row in rows if (limit := _limit(row)) is not None]
    stand = holds.standings(limits, workspace_id=actor.workspace.pk)
    standing = {one.limit.budget_id: one for one in stand}
    shown = [{"budget": row, "whose": whose[row.pk], "meters": _meters(row, standing.get(row.pk))} for row in rows]
    allowance = settings.TIER_TOKENS.get(actor.workspace.tier, 0)
    context = {"list": listed, "budgets": shown, "allowance": f"{allowance:,}" * bool(allowance)}
    return console.render(request, actor, BUDGETS, "console/budgets.html", context)


@console.changes(BUDGETS)
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Make a budget."""

    def make(given: dict[str, Any]) -> str:
        member, agent = given.pop("user"), given.pop("agent")
        user, agent_id = member and member.user, agent and agent.pk
        budgets.save(Budget(workspace=actor.workspace, user=user, agent_id=agent_id, **given), by=actor)
        return "The budget is set."

    return console.act(
        request,
        actor,
        BUDGETS,
        make,
        form=BudgetForm(console.sent(request), actor=actor, initial={"scope": BudgetScope.WORKSPACE}),
        title="Set a budget",
        text="What is over it is refused before a model is asked, and says why.",
        button="Set the budget",
    )


@console.changes(BUDGETS)
def change(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Change what a budget limits; whose it is, and its period, stay."""
    budget = _budget(actor, pk)
    first = {name: getattr(budget, name) for name in ("tokens", "usd", "enabled")}

    def keep(given: dict[str, Any]) -> str:
        for name, value in given.items():
            setattr(budget, name, value)
        budgets.save(budget, by=actor)
        return "The budget is set."

    return console.act(
        request,
        actor,
        BUDGETS,
        keep,
        form=LimitsForm(console.sent(request), initial=first),
        title=f"Budget: {_named(actor, budget)}",
        text="The new limit holds at once; what was used stays counted.",
        button="Save",
    )


@console.changes(BUDGETS)
def remove(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then delete a budget."""
    budget = _budget(actor, pk)

    def delete(given: object) -> str:
        budgets.remove(budget, by=actor)
        return "The budget is deleted."

    return console.act(
        request,
        actor,
        BUDGETS,
        delete,
        title=f"Delete the budget: {_named(actor, budget)}",
        text="Nothing is limited by it any more. What was used stays in the usage.",
        button="Delete it",
        danger=True,
    )


def _budget(actor: Actor, pk: str) -> Budget:
    found = Budget.objects.visible_to(actor).select_related("user").filter(pk=pk).first()
    if found is None:
        raise console.Gone
    return found


def _limit(budget: Budget) -> Limit | None:
    """The limit whose use is counted in one place; None for one of each person."""
    scope = BudgetScope(budget.scope)
    if scope is BudgetScope.EACH_PERSON:
        return None
    subject = {BudgetScope.PERSON: budget.user_id, BudgetScope.AGENT: budget.agent_id}.get(scope, budget.workspace_id)
    assert subject is not None  # the database's constraint
    return Limit(budget.pk, subject, scope, BudgetPeriod(budget.period), budget.tokens, budget.usd)


def _meters(budget: Budget, standing: holds.Standing | None) -> list[charts.Meter | str]:
    """What is used of each limit, as a bar; of what each person has, the limit alone."""
    found: list[charts.Meter | str] = []
    used: dict[str, int | Decimal] = {}
    if standing:
        used = {"tokens": standing.used.tokens, "USD": standing.used.usd or Decimal(0)}
    for unit, limit in (("tokens", budget.tokens), ("USD", budget.usd)):
        if limit is None:
            continue
        if unit in used:
            found.append(charts.meter(used[unit], limit, unit))
        else:
            found.append(f"{charts.written(limit, unit)} {'tokens ' if unit == 'tokens' else ''}each")
    return found


def _whose(actor: Actor, rows: Sequence[Budget]) -> dict[UUID, str]:
    """Whose use each budget limits, by the budget's id."""
    agents = Agent.objects.visible_to(actor).filter(pk__in=[row.agent_id for row in rows if row.agent_id])
    names: dict[UUID | None, str] = dict(agents.values_list("pk", "name"))
    found = {}
    for row in rows:
        scope = BudgetScope(row.scope)
        found[row.pk] = str(row.user if scope is BudgetScope.PERSON else scope.label)
        if scope is BudgetScope.AGENT:
            found[row.pk] = f"Agent {names.get(row.agent_id, '(gone)')}"
    return found


def _named(actor: Actor, budget: Budget) -> str:
    """A budget as its own pages call it, such as “kim@home.example, a month”."""
    return f"{_whose(actor, [budget])[budget.pk]}, {BudgetPeriod(budget.period).label.lower()}"
