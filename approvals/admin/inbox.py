"""The inbox: what waits for a decision across companions, live, and several requests of one tool decided together."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.admin import scope
from approvals import lots, shown, waiting
from approvals.admin import pending
from approvals.admin.ballots import LotForm
from approvals.forms import NotConfirmed, WrongPassword, fresh
from approvals.lots import VERBS
from approvals.models import Approval, ApprovalStatus, Decision
from core.errors import DomainError

MOST_KNOWN = 200  # rows of an open page that it asks to be told the end of


def inbox(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The page; with `fragment` in the address the list alone, with what became of the rows named in `known`."""
    if not scope.reads(request):
        raise PermissionDenied
    asked = pending.Asked.read(request.GET.dict())
    page = pending.page(request, asked)
    context = {
        "asked": asked,
        "page": page,
        "decides": any(row.mine for row in page.rows),
        "many_workspaces": scope.sees_all(request) or len(scope.roles(request)) > 1,
        "mine_count": _count(request, asked, pending.MINE),
        "all_count": _count(request, asked, pending.ALL),
        "first_address": asked.address(after=""),
    }
    if "fragment" in request.GET:
        context["gone"] = _gone(request, request.GET.get("known", "").split(",")[:MOST_KNOWN])
        response: HttpResponse = TemplateResponse(request, "approvals/inbox_rows.html", context)
        response["Cache-Control"] = "no-store"
        return response
    chosen = {"tool": asked.tool, "agent": asked.agent, "risk": asked.risk}
    context |= {
        **site.each_context(request),
        "title": "Approvals",
        "here": f"{request.path}?{asked.address()}",
        "mine_address": asked.address(whose=pending.MINE, after=""),
        "all_address": asked.address(whose=pending.ALL, after=""),
        "filters": [
            {"name": name, "title": name.capitalize(), "choices": _with(found, chosen[name]), "value": chosen[name]}
            for name, found in pending.choices(request).items()
        ],
    }
    return TemplateResponse(request, "approvals/inbox.html", context)


def decide(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show what is about to be decided together, each with its exact arguments; then decide each by itself."""
    if not scope.reads(request):
        raise PermissionDenied
    back = reverse("admin:approvals_inbox")
    if request.method != "POST":
        return HttpResponseRedirect(back)
    back_url = f"{back}?{pending.Asked.read(QueryDict(request.POST.get('back', '')).dict()).address()}"
    decision = request.POST.get("decision", "")
    rows = _chosen(request)
    problem = _problem(rows, decision)
    if problem:
        messages.error(request, problem)
        return HttpResponseRedirect(back_url)
    tool = rows[0].tool
    form = LotForm(rows, Decision(decision), request.POST if "confirmed" in request.POST else None)
    if form.is_bound and form.is_valid():
        try:
            _decide(request, rows, Decision(decision), form.cleaned_data)
        except DomainError as error:
            form.add_error("password" if isinstance(error, WrongPassword) else None, error.detail)
        else:
            return HttpResponseRedirect(back_url)
    rows = [row for row in rows if row.status == ApprovalStatus.PENDING]
    if form.is_bound and any(request.POST.get(f"digest-{row.pk}") != row.digest for row in rows):
        form.add_error(None, "Some of these have changed since this page showed them: read them again.")
    context = {
        **site.each_context(request),
        "title": f"{decision.capitalize()} {len(rows)} of {tool}",
        "rows": rows,
        "form": form,
        "decision": decision,
        "back": request.POST.get("back", ""),
        "back_url": back_url,
    }
    return TemplateResponse(request, "approvals/bulk.html", context, status=400 if form.errors else 200)


def _decide(request: HttpRequest, rows: list[Approval], decision: Decision, given: dict[str, Any]) -> None:
    """Decide each, on the digest that was shown, and tell what came of it; raises what keeps the person from any."""
    if "certain" in given and not given["certain"]:
        raise NotConfirmed
    done, refused = lots.decide(
        rows,
        decision,
        by=lambda row: scope.actor(request, row.workspace),
        sent=request.POST,
        reason=given["reason"],
        fresh=fresh(request, given.get("password", "")),
    )
    if done:
        messages.success(request, f"{VERBS[decision].capitalize()}: {done} of {rows[0].tool}.")
    for text in refused:
        messages.error(request, shown.visible_line(text))


def _chosen(request: HttpRequest) -> list[Approval]:
    """The rows that were selected, of those that the person may look at, in the order of urgency.

    What was shown before is told of each, though somebody has decided it meanwhile.
    """
    wanted = set()
    for text in request.POST.getlist("ids")[: pending.PAGE]:
        try:
            wanted.add(UUID(text))
        except ValueError:
            continue
    rows = pending.visible(request).filter(pk__in=wanted)
    if "confirmed" not in request.POST:
        rows = rows.filter(status=ApprovalStatus.PENDING)
    return list(rows.named().select_related("workspace", "requested_by").most_urgent_first())


def _problem(rows: list[Approval], decision: str) -> str:
    """Why these cannot be decided together; empty where they can."""
    if decision not in VERBS:
        return "Say whether to approve or to reject."
    if not rows:
        return "Nothing was selected that still waits."
    tools = sorted({row.tool for row in rows})
    if len(tools) > 1:
        return f"Only requests of one tool are decided together, not of {', '.join(tools)}."
    return ""


def _gone(request: HttpRequest, known: list[str]) -> QuerySet[Approval]:
    """What became of rows that an open page still shows."""
    wanted = []
    for text in known:
        try:
            wanted.append(UUID(text))
        except ValueError:
            continue
    ended = pending.visible(request).filter(pk__in=wanted).exclude(status=ApprovalStatus.PENDING)
    ago = ExpressionWrapper(Now() - F("decided_at"), DurationField())
    return (
        ended.select_related("decided_by")
        .only("pk", "status", "decided_by__name", "decided_by__email")
        .annotate(ago=ago)
    )


def _count(request: HttpRequest, asked: pending.Asked, whose: str) -> str:
    return waiting.count(pending.narrowed(request, pending.Asked(whose, asked.tool, asked.agent, asked.risk, None)))


def _with(found: dict[str, str], chosen: str) -> list[tuple[str, str]]:
    """The choices, with the one chosen although nothing of it waits."""
    return list((found if not chosen else {chosen: chosen, **found}).items())
