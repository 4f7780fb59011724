"""Trust in figures: how often what an agent proposes with a tool is accepted, and what may follow from it."""

import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.admin import scope
from accounts.models import Role, Workspace
from approvals.services import trust
from core.errors import DomainError

MOST_WORKSPACES = 20


def table(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The table of each workspace that the person may look into."""
    if not scope.reads(request):
        raise PermissionDenied
    context = {
        **site.each_context(request),
        "title": "Trust",
        "tables": [_table(request, workspace) for workspace in _workspaces(request)],
        "days": trust.WINDOW.days,
        "enough": trust.ENOUGH,
        "rate": round(100 * trust.RATE),
        "lasts": trust.OFFER_LASTS.days,
    }
    return TemplateResponse(request, "approvals/trust.html", context)


def accept(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Take an offer: ask first, then let the agent use the tool unasked for a while."""
    if not scope.reads(request):
        raise PermissionDenied
    back = reverse("admin:approvals_trust")
    if request.method != "POST":
        return HttpResponseRedirect(back)
    workspace, agent_id = _named(request)
    tool = request.POST.get("tool", "")[:200]
    if "confirmed" not in request.POST:
        context = {**site.each_context(request), "title": "Let it run unasked", "back": back, "workspace": workspace}
        rows = [row for row in trust.table(workspace.pk) if (row.agent_id, row.tool) == (agent_id, tool)]
        lasts = trust.OFFER_LASTS.days
        return TemplateResponse(
            request, "approvals/trust_accept.html", {**context, "row": next(iter(rows), None), "lasts": lasts}
        )
    try:
        policy = trust.accept_offer(workspace.pk, agent_id, tool, by=scope.actor(request, workspace))
    except DomainError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, f"“{policy.name}” holds until {policy.valid_until:%Y-%m-%d}.")
    return HttpResponseRedirect(back)


def _workspaces(request: HttpRequest) -> list[Workspace]:
    rows = Workspace.objects.order_by("name")
    held = rows if scope.sees_all(request) else rows.filter(pk__in=scope.workspaces(request, *scope.READERS))
    return list(held[:MOST_WORKSPACES])


def _table(request: HttpRequest, workspace: Workspace) -> dict[str, Any]:
    rows = [
        {"row": row, "percent": round(100 * row.rate), "median": datetime.timedelta(seconds=row.median_seconds)}
        for row in trust.table(workspace.pk)
    ]
    return {"workspace": workspace, "rows": rows, "accepts": scope.holds(request, Role.ADMIN, workspace=workspace.pk)}


def _named(request: HttpRequest) -> tuple[Workspace, UUID]:
    """The workspace and agent that a form names; raises PermissionDenied for what the person may not look into."""
    try:
        wanted, agent_id = UUID(request.POST.get("workspace", "")), UUID(request.POST.get("agent", ""))
    except ValueError:
        raise PermissionDenied from None
    workspace = Workspace.objects.filter(pk=wanted).first()
    if workspace is None or not scope.holds(request, *scope.READERS, workspace=wanted):
        raise PermissionDenied
    return workspace, agent_id
