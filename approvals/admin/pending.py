"""What waits for a decision, page by page in the order of urgency; what the inbox is drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest

from accounts.admin import scope
from accounts.models import User
from approvals import directory, waiting
from approvals.models import Approval, ApprovalStatus, Risk
from approvals.querysets import ApprovalQuerySet
from approvals.waiting import Place, to_decide

PAGE = 50
MOST_CHOICES = 200
MINE, ALL = "mine", "all"


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
    assert isinstance(request.user, User), "the admin lets in nobody else"
    return waiting.for_list(rows.select_related("workspace"), mine(request), request.user)


def mine(request: HttpRequest) -> Q:
    """What waits for the vote of the person behind the request; read once a request."""
    found: Q | None = getattr(request, "to_decide", None)
    if found is None:
        user, found = request.user, Q(pk__in=[])
        if isinstance(user, User):
            found = to_decide(user, scope.roles(request)) & waiting.not_voted(user)
        request.to_decide = found  # type: ignore[attr-defined]
    return found


def choices(request: HttpRequest) -> dict[str, dict[str, str]]:
    """The tools, agents and risks of what waits, each by what an address calls it and what people do."""
    rows = visible(request).filter(status=ApprovalStatus.PENDING).order_by()
    found = set(rows.values_list("tool", "agent", "workspace", "agent_id").distinct()[:MOST_CHOICES])
    names = directory.agents({home for *_, home, _ in found}, {agent_id for *_, agent_id in found if agent_id})
    called: dict[str, set[str]] = {}
    for _, slug, _, agent_id in found:
        called.setdefault(slug, set()).add((agent_id and names.get(agent_id)) or slug)
    return {
        "tool": {tool: tool for tool in sorted({tool for tool, *_ in found})},
        "agent": {slug: " / ".join(sorted(called[slug])) for slug in sorted(called) if slug},
        "risk": {risk.value: risk.label for risk in Risk},
    }


def badge(request: HttpRequest) -> str:
    """How many wait for this person, beside the inbox in the sidebar."""
    if not scope.reads(request):
        return ""
    return waiting.count(visible(request).filter(mine(request), status=ApprovalStatus.PENDING))
