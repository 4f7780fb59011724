"""The first page of the console: what wants attention, and how many there are of what, across all floors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse

from accounts.models import Actor, ApiKey, Budget, Membership
from accounts.pages import charts, console
from accounts.pages.console import SECTIONS
from accounts.services import holds, usage
from accounts.services.budgets import applying
from agents.models import Agent, McpServer, McpTool, Provider
from agents.tools import registry
from approvals.models import Approval, OutboxItem, Policy, WebhookEndpoint
from approvals.services import posting
from companions.models import Companion

NEAR = 0.8  # of a budget

COUNTS: dict[str, Callable[[Actor], int]] = {
    "members": lambda actor: Membership.objects.visible_to(actor).count(),
    "keys": lambda actor: ApiKey.objects.visible_to(actor).filter(revoked_at=None).count(),
    "providers": lambda actor: Provider.objects.visible_to(actor).filter(enabled=True).count(),
    "companions": lambda actor: Companion.objects.visible_to(actor).count(),
    "agents": lambda actor: Agent.objects.visible_to(actor).filter(enabled=True).count(),
    "tools": lambda actor: len(registry.names(actor.workspace.pk)),
    "mcp": lambda actor: McpServer.objects.visible_to(actor).filter(enabled=True).count(),
    "policies": lambda actor: Policy.objects.visible_to(actor).filter(enabled=True).count(),
    "budgets": lambda actor: Budget.objects.visible_to(actor).filter(enabled=True).count(),
    "usage": lambda actor: usage.of_month(actor.workspace.pk),
    "webhooks": lambda actor: OutboxItem.objects.visible_to(actor).filter(topic=posting.WEBHOOK).count(),
}
OF = {"usage": "tokens this month", "webhooks": "deliveries in 30 days", "keys": "not revoked"}


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that wants attention: what it is, where it is seen to, and whether it stops work."""

    text: str
    link: str
    bad: bool = False


@console.reads("overview")
def overview(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What wants attention, then each section with what is in it."""
    cards: list[dict[str, Any]] = [
        {"section": SECTIONS[name], "many": f"{count(actor):,}", "of": OF.get(name, "")}
        for name, count in COUNTS.items()
        if actor.may(*SECTIONS[name].reads)
    ]
    context = {"cards": cards, "concerns": list(_concerns(actor)), "workspace": actor.workspace}
    return console.render(request, actor, "overview", "console/overview.html", context)


def _concerns(actor: Actor) -> Iterator[Concern]:
    if actor.workspace.frozen:
        yield Concern("The workspace is frozen: no action runs until an admin lifts that.", "/admin/", bad=True)
    if many := Approval.objects.visible_to(actor).pending().count():
        yield Concern(f"{many} request{'s wait' if many > 1 else ' waits'} for a decision.", "/approvals/")
    if not Companion.objects.visible_to(actor).exists():
        yield Concern("There is no companion to talk to. Make one.", SECTIONS["companions"].path)
    if not Provider.objects.visible_to(actor).filter(enabled=True).exists():
        yield Concern("The workspace has no model provider of its own. Set one up.", SECTIONS["providers"].path)
    moved = McpTool.objects.visible_to(actor).exclude(offered_hash=F("accepted_hash")).exclude(offered_hash="")
    if many := moved.exclude(accepted_hash="").count():
        yield Concern(f"{many} MCP tool{'s' * (many > 1)} changed, and must be accepted again.", SECTIONS["mcp"].path)
    yield from _of_budgets(actor)
    failing = ~Q(failing_since=None) | (Q(enabled=False) & ~Q(disabled_reason=""))
    if WebhookEndpoint.objects.visible_to(actor).filter(failing).exists():
        yield Concern("The webhook fails: its receiver is not told what happens.", SECTIONS["webhooks"].path, bad=True)


def _of_budgets(actor: Actor) -> Iterator[Concern]:
    """The workspace's own limits that are used up, or nearly."""
    limits = applying(actor.workspace.pk, user_id=None, agent_id=None)
    for one in holds.standings(limits, workspace_id=actor.workspace.pk):
        pairs = ((one.used.tokens, one.limit.tokens, "tokens"), (one.used.usd or 0, one.limit.usd, "USD"))
        for used, limit, unit in pairs:
            if limit is not None and float(used) >= NEAR * float(limit):
                what = "The tier's allowance" if one.limit.of_tier else "A budget of the workspace"
                text = f"{what} is used to {charts.meter(used, limit, unit).text}."
                yield Concern(text, SECTIONS["budgets"].path, bad=used >= limit)
