"""Budgets: which limits a call of a model falls under, and how they are changed.

Asked before every call, so what a workspace has is remembered for a few seconds: one without budgets, of a tier without
an allowance, costs a call nothing. What they come to is counted in `holds`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.signals import setting_changed
from django.db import IntegrityError, transaction
from django.db.models.signals import post_delete, post_save

from accounts.models import Actor, Budget, BudgetPeriod, BudgetScope, BudgetUse, Membership, Workspace
from core import ledger
from core.errors import Conflict, Forbidden, Invalid

REMEMBERED_SECONDS = 3.0  # how long a change made by another process may go unseen
_TOLD = ("scope", "user__email", "agent_id", "period", "tokens", "usd", "enabled")


class MayNotBudget(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "Only an admin of the workspace changes its budgets."


class BudgetExists(Conflict):
    """There is one of this kind."""

    code = "budget_exists"
    default_detail = "There is such a budget already; change that one."


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be used in a period: a budget's, or the allowance of a tier, whose id is the workspace's.

    `subject_id` is whose use is counted: the workspace's, a person's or an agent's.
    """

    budget_id: UUID
    subject_id: UUID
    scope: BudgetScope
    period: BudgetPeriod
    tokens: int | None
    usd: Decimal | None

    @property
    def of_tier(self) -> bool:
        """Whether it is the allowance of the workspace's tier."""
        return self.budget_id == self.subject_id


_remembered: dict[UUID, tuple[float, tuple[Budget, ...], int]] = {}


def remembered(workspace_id: UUID, *, user_id: UUID | None, agent_id: UUID | None) -> tuple[Limit, ...] | None:
    """As `applying`, without the database; None where what the workspace has is not remembered."""
    held = _remembered.get(workspace_id)
    if held is None or held[0] < time.monotonic():
        return None
    return _matching(workspace_id, held[1], held[2], user_id=user_id, agent_id=agent_id)


def applying(workspace_id: UUID, *, user_id: UUID | None, agent_id: UUID | None) -> tuple[Limit, ...]:
    """The limits that a call by this agent for this person falls under, the tier's allowance first."""
    found = remembered(workspace_id, user_id=user_id, agent_id=agent_id)
    if found is not None:
        return found
    until = time.monotonic() + REMEMBERED_SECONDS
    tier = Workspace.objects.filter(pk=workspace_id).values_list("tier", flat=True).first() or ""
    rows = tuple(Budget.objects.filter(workspace_id=workspace_id, enabled=True).order_by("created_at", "pk"))
    allowance = settings.TIER_TOKENS.get(tier, 0)
    _remembered[workspace_id] = (until, rows, allowance)
    return _matching(workspace_id, rows, allowance, user_id=user_id, agent_id=agent_id)


def _matching(
    workspace_id: UUID,
    budgets: Sequence[Budget],
    allowance: int,
    *,
    user_id: UUID | None,
    agent_id: UUID | None,
) -> tuple[Limit, ...]:
    """Those of a workspace's limits that count such a call."""
    found = []
    if allowance:
        found.append(
            Limit(workspace_id, workspace_id, BudgetScope.WORKSPACE, BudgetPeriod.MONTH, allowance, None),
        )
    for budget in budgets:
        subject = _subject(budget, user_id=user_id, agent_id=agent_id)
        if subject is not None:
            scope, period = BudgetScope(budget.scope), BudgetPeriod(budget.period)
            found.append(Limit(budget.pk, subject, scope, period, budget.tokens, budget.usd))
    return tuple(found)


def _subject(budget: Budget, *, user_id: UUID | None, agent_id: UUID | None) -> UUID | None:
    """Whose use the budget counts in such a call; None where it does not."""
    match BudgetScope(budget.scope):
        case BudgetScope.WORKSPACE:
            return budget.workspace_id
        case BudgetScope.EACH_PERSON:
            return user_id
        case BudgetScope.PERSON:
            return user_id if user_id == budget.user_id else None
        case BudgetScope.AGENT:
            return agent_id if agent_id == budget.agent_id else None


@transaction.atomic
def save(budget: Budget, *, by: Actor) -> Budget:
    """Store a new or changed budget; raises MayNotBudget, Invalid for what does not fit together, BudgetExists."""
    _check(budget, by)
    before = _told(budget)
    if before is not None and (before["scope"], before["period"]) != (budget.scope, budget.period):
        raise Invalid.field("scope", "What is counted stays; make another budget.")
    if budget.tokens is None and budget.usd is None:
        raise Invalid.field("tokens", "A budget limits tokens, US dollars, or both.")
    budget.user = budget.user if budget.scope == BudgetScope.PERSON else None
    budget.agent_id = budget.agent_id if budget.scope == BudgetScope.AGENT else None
    if budget.scope == BudgetScope.AGENT and budget.agent_id is None:
        raise Invalid.field("agent", "Name the agent.")
    here = Membership.objects.filter(workspace=budget.workspace_id, user=budget.user_id)
    if budget.scope == BudgetScope.PERSON and not here.exists():
        raise Invalid.field("user", "Name a member of the workspace.")
    try:
        with transaction.atomic():
            budget.save()
    except IntegrityError as error:
        if "one_budget_of_a_kind" not in str(error):
            raise
        raise BudgetExists from error
    after = _told(budget)
    if before != after:
        _record(budget, by, before=before, after=after)
    return budget


@transaction.atomic
def remove(budget: Budget, *, by: Actor) -> None:
    """Delete a budget with what was counted for it; raises MayNotBudget."""
    _check(budget, by)
    before, pk = _told(budget), budget.pk
    BudgetUse.objects.filter(workspace=budget.workspace_id, budget_id=pk).delete()
    budget.delete()
    budget.pk = pk
    _record(budget, by, before=before, after=None)


def forget() -> None:
    """Forget what is remembered of all workspaces."""
    _remembered.clear()


def _check(budget: Budget, by: Actor) -> None:
    if budget.workspace_id != by.workspace.pk or not by.may():
        raise MayNotBudget


def _told(budget: Budget) -> dict[str, Any] | None:
    """The budget as the log has it, locked; None where it is not stored."""
    rows = Budget.objects.select_for_update(of=("self",), no_key=True).filter(pk=budget.pk)
    found: dict[str, Any] | None = rows.values(*_TOLD).first()
    return found and {name.split("__")[0]: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID | Decimal) else value


def _record(budget: Budget, by: Actor, **told: Any) -> None:
    entry = ledger.Entry(
        type="budget.changed", workspace_id=budget.workspace_id, who=by.who, target=("budget", budget.pk), data=told
    )
    ledger.record(entry)


def _forget_workspace(sender: object, instance: Budget | Workspace, **_: Any) -> None:
    """Forget a workspace's now, for this transaction, and when it commits, for those who read meanwhile."""
    pk = instance.pk if isinstance(instance, Workspace) else instance.workspace_id
    _remembered.pop(pk, None)
    transaction.on_commit(lambda: _remembered.pop(pk, None))


def _forget_all(**_: Any) -> None:
    """Forget what was read from settings that were changed, as tests do."""
    forget()


_SENDERS: Sequence[type[Budget | Workspace]] = (Budget, Workspace)
for _sender in _SENDERS:
    post_save.connect(_forget_workspace, sender=_sender, dispatch_uid=f"budgets forget the saved {_sender.__name__}")
    post_delete.connect(_forget_workspace, sender=_sender, dispatch_uid=f"budgets forget the gone {_sender.__name__}")
setting_changed.connect(_forget_all, dispatch_uid="budgets forget settings")
