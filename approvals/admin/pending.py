"""What waits for a decision, page by page in the order of urgency; what the inbox is drawn from."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import (
    BooleanField,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    TextField,
)
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Left, Now
from django.http import HttpRequest

from accounts.admin import scope
from accounts.models import Group, Role, User
from approvals.models import Approval, ApprovalStatus, Risk, Vote
from approvals.querysets import ApprovalQuerySet

PAGE = 50
MOST_COUNTED = 1_000
MOST_CHOICES = 200
SENTENCE = 400  # characters of a preview's sentence in the list; its page has the whole
MINE, ALL = "mine", "all"
HEAVY = ("arguments", "proposed_arguments", "preview", "reason", "response")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of urgency: behind this row."""

    rank: int
    expires_at: datetime.datetime
    id: UUID

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The place that an address names; None where it names none."""
        try:
            rank, expires, row = text.split("_")
            when = datetime.datetime.fromisoformat(expires)
            return cls(int(rank), when, UUID(row)) if when.tzinfo and abs(int(rank)) < 100 else None
        except (ValueError, OverflowError):
            return None

    @classmethod
    def of(cls, row: Approval) -> Self:
        """The place behind a row."""
        return cls(row.risk_rank, row.expires_at, row.pk)

    def __str__(self) -> str:
        return f"{self.rank}_{self.expires_at.isoformat()}_{self.id}"

    @property
    def behind(self) -> Q:
        """The rows that come after it."""
        same = Q(risk_rank=self.rank)
        later = Q(expires_at__gt=self.expires_at) | Q(expires_at=self.expires_at, pk__gt=self.id)
        return Q(risk_rank__lt=self.rank) | (same & later)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of the inbox asks for."""

    whose: str
    tool: str
    agent: str
    risk: str
    after: Place | None

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """The filters; what is not understood is no filter."""
        risk = given.get("risk", "")
        return cls(
            whose=ALL if given.get("whose") == ALL else MINE,
            tool=given.get("tool", "")[:200],
            agent=given.get("agent", "")[:60],
            risk=risk if risk in Risk.values else "",
            after=Place.read(given.get("after", "")),
        )

    def address(self, **changes: object) -> str:
        """The query of an address that asks for this, with changes."""
        asked = {"whose": self.whose, "tool": self.tool, "agent": self.agent, "risk": self.risk, "after": self.after}
        return urlencode({name: value for name, value in {**asked, **changes}.items() if value})

    @property
    def filtered(self) -> bool:
        """Whether tool, agent or risk narrow what is shown."""
        return bool(self.tool or self.agent or self.risk)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rows, each with what `for_list` adds; `more` is the address of those beyond it."""

    rows: list[Any]
    more: str


def visible(request: HttpRequest) -> ApprovalQuerySet:
    """The approvals of the workspaces that the person may look into."""
    rows = Approval.objects.all()
    return rows if scope.sees_all(request) else rows.filter(workspace__in=scope.workspaces(request, *scope.READERS))


def to_decide(user: User, roles: Mapping[UUID, str]) -> Q:
    """Which pending approvals a person with these roles is asked to decide; the service looks again when they do."""
    found, groups = Q(pk__in=[]), dict[UUID, list[str]]()
    for workspace, group_id in Group.objects.filter(members=user).values_list("workspace", "pk"):
        groups.setdefault(workspace, []).append(str(group_id))
    for workspace, role in roles.items():
        asked = Q(terms__people__contains=str(user.pk)) | Q(terms__roles__contains=role)
        if role == Role.ADMIN:
            asked |= ~Q(terms__roles=[])
        for group in groups.get(workspace, []):
            asked |= Q(terms__groups__contains=group) | Q(terms__escalate_to=group, escalates_at__lte=Now())
        found |= Q(workspace=workspace) & asked
    for whose in ("requested_by", "behind"):
        own = Q(**{whose: user.identity}) | Q(**{f"{whose}__same_person_as": user.identity})
        found &= Q(**{whose: None}) | ~own
    accounts = User.objects.filter(Q(pk=user.identity) | Q(same_person_as=user.identity)).values_list("pk", flat=True)
    return found & ~Q(behind_ids__overlap=list(accounts))


def page(request: HttpRequest, asked: Asked) -> Page:
    """One page of what waits, most urgent first."""
    rows = narrowed(request, asked)
    if asked.after:
        rows = rows.filter(asked.after.behind)
    drawn = list(for_list(rows, request).most_urgent_first()[: PAGE + 1])
    more = asked.address(after=Place.of(drawn[PAGE - 1])) if len(drawn) > PAGE else ""
    return Page(drawn[:PAGE], more)


def narrowed(request: HttpRequest, asked: Asked) -> Any:
    """What waits and fits the filters."""
    rows: Any = visible(request).filter(status=ApprovalStatus.PENDING)
    given = {"tool": asked.tool, "agent": asked.agent, "risk": asked.risk}
    rows = rows.filter(**{name: value for name, value in given.items() if value})
    return rows.filter(mine(request)) if asked.whose == MINE else rows


def for_list(rows: Any, request: HttpRequest) -> Any:
    """Rows with what the list shows of them, without what is heavy."""
    votes = Vote.objects.filter(approval=OuterRef("pk"), void=False).order_by().values("approval")
    given = Subquery(votes.annotate(many=Count("pk")).values("many"), output_field=IntegerField())
    return (
        rows.select_related("requested_by", "workspace")
        .defer(*HEAVY)
        .annotate(
            mine=ExpressionWrapper(mine(request), BooleanField()),
            left=ExpressionWrapper(F("expires_at") - Now(), DurationField()),
            age=ExpressionWrapper(Now() - F("created_at"), DurationField()),
            votes_given=Coalesce(given, 0),
            sentence=Left(Cast(KeyTextTransform("sentence", "preview"), TextField()), SENTENCE),
        )
    )


def mine(request: HttpRequest) -> Q:
    """What the person behind the request is asked to decide; read once a request."""
    found: Q | None = getattr(request, "to_decide", None)
    if found is None:
        found = to_decide(request.user, scope.roles(request)) if isinstance(request.user, User) else Q(pk__in=[])
        request.to_decide = found  # type: ignore[attr-defined]
    return found


def count(rows: Any) -> str:
    """How many there are, as text; beyond MOST_COUNTED nobody counts."""
    many = rows.order_by()[:MOST_COUNTED].count()
    return f"{many}" if many < MOST_COUNTED else f"{MOST_COUNTED}+"


def choices(request: HttpRequest) -> dict[str, list[str]]:
    """The tools, agents and risks of what waits."""
    rows = visible(request).filter(status=ApprovalStatus.PENDING).order_by()
    pairs = set(rows.values_list("tool", "agent").distinct()[:MOST_CHOICES])
    return {
        "tool": sorted({tool for tool, _ in pairs}),
        "agent": sorted({agent for _, agent in pairs if agent}),
        "risk": list(Risk.values),
    }


def badge(request: HttpRequest) -> str:
    """How many wait for this person, beside the inbox in the sidebar."""
    if not scope.reads(request):
        return ""
    return count(visible(request).filter(mine(request), status=ApprovalStatus.PENDING))
