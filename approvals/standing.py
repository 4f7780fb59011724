"""How a request stands, for the page that shows it: its time, its votes, whom it asks, and what was decided before."""

import difflib
from dataclasses import dataclass
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Now

from accounts.models import Group, Role, User
from approvals import kinds, shown
from approvals.models import Approval, ApprovalStatus
from approvals.services import endings, rights

EARLIER = 5
MOST_LINES = 2_000  # of arguments that are compared line by line
AGO = ExpressionWrapper(Now() - F("created_at"), DurationField())
DECIDED_AGO = ExpressionWrapper(Now() - F("decided_at"), DurationField())


@dataclass(frozen=True, slots=True)
class Line:
    """One line of two texts that are compared: of both, of the first (`-`) or of the second (`+`)."""

    sign: str
    text: str


def timed(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """Requests with how long they wait and what is left, by the database's clock."""
    return rows.annotate(
        age=AGO,
        left=ExpressionWrapper(F("expires_at") - Now(), DurationField()),
        ago=DECIDED_AGO,
        holds=ExpressionWrapper(F("valid_until") - Now(), DurationField()),
    )


def of(approval: Approval) -> dict[str, Any]:
    """What changes about a request while people look at it."""
    open_now = approval.status == ApprovalStatus.PENDING
    return {
        "votes": list(approval.votes.select_related("user").annotate(ago=AGO).order_by("pk")),
        "tally": rights.tally(approval) if open_now else None,
        "open": open_now,
    }


def asked(approval: Approval) -> list[str]:
    """Whom the policy asks, in words."""
    terms = approval.terms
    told = [f"{Role(role).label}s" for role in terms["roles"] if role in Role.values]
    if terms["roles"] and Role.ADMIN not in terms["roles"]:
        told.append("Admins")
    second = [terms["escalate_to"]] if terms["escalate_to"] else []
    groups = Group.objects.filter(workspace_id=approval.workspace_id, pk__in=[*terms["groups"], *second])
    names = {str(pk): name for pk, name in groups.values_list("pk", "name")}
    told += [f"the group {names[group]}" for group in terms["groups"] if group in names]
    told += [endings.told_apart(user) for user in User.objects.filter(pk__in=terms["people"]).order_by("name", "email")]
    if second and second[0] in names:
        told.append(f"later the group {names[second[0]]}")
    return told


def earlier(approval: Approval) -> QuerySet[Approval]:
    """The last decisions on the same tool."""
    rows = Approval.objects.filter(workspace_id=approval.workspace_id, tool=approval.tool)
    rows = rows.exclude(pk=approval.pk).exclude(status=ApprovalStatus.PENDING).order_by("-pk")
    return rows.select_related("decided_by").annotate(ago=DECIDED_AGO)[:EARLIER]


def context(approval: Approval) -> Any:
    """What was said around it; None where the owner of its kind has nothing of it any more."""
    owner = kinds.every().get(approval.kind)
    try:
        return owner.context(approval) if owner else None
    except LookupError:
        return None


def changes(before: Any, after: Any) -> list[Line]:
    """What is other in the second of two JSON values, line by line."""
    old, new = shown.pretty(before).split("\n"), shown.pretty(after).split("\n")
    if len(old) + len(new) > MOST_LINES:
        return [*(Line("-", text) for text in old), *(Line("+", text) for text in new)]
    return [Line(text[0], text[2:]) for text in difflib.ndiff(old, new) if text[0] in "-+ "]
