"""The inbox: what waits for a decision across companions, live, and several requests of one tool decided together."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget, UnfoldBooleanWidget

from accounts.admin import scope
from approvals import shown
from approvals.admin import deciding, pending
from approvals.admin.ballots import PASSWORD_NEEDED, NotConfirmed, WrongPassword, fresh
from approvals.models import Approval, ApprovalStatus, Decision, Risk
from approvals.services import approvals
from approvals.services.ballots import LONGEST_REASON
from core.errors import DomainError

MOST_KNOWN = 200  # rows of an open page that it asks to be told the end of
VERBS = {Decision.APPROVE: "approved", Decision.REJECT: "rejected"}


class LotForm(forms.Form):
    """One decision on several requests of one tool."""

    reason = forms.CharField(
        required=False, max_length=LONGEST_REASON, widget=UnfoldAdminTextareaWidget({"rows": 2}), label="Reason"
    )
    password = forms.CharField(
        required=False,
        strip=False,
        max_length=1_000,
        label="Your password",
        error_messages={"required": PASSWORD_NEEDED},
        widget=UnfoldAdminPasswordWidget({"autocomplete": "current-password"}),
    )
    certain = forms.BooleanField(
        required=False,
        label="I have read the arguments of each, and know that this cannot be taken back",
        widget=UnfoldBooleanWidget({"required": True}),
    )

    def __init__(self, rows: list[Approval], decision: Decision, data: Any = None) -> None:
        super().__init__(data)
        if decision == Decision.REJECT:
            self.fields["reason"].required = True
            self.fields["reason"].help_text = "The agents read it."
        self.fields["password"].required = True
        if not any(row.terms["fresh_password"] for row in rows):
            del self.fields["password"]
        if decision == Decision.REJECT or all(row.risk != Risk.DESTRUCTIVE for row in rows):
            del self.fields["certain"]


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
    form = LotForm(rows, Decision(decision), request.POST if "confirmed" in request.POST else None)
    if form.is_bound and form.is_valid():
        try:
            _decide(request, rows, Decision(decision), form.cleaned_data)
        except DomainError as error:
            form.add_error("password" if isinstance(error, WrongPassword) else None, error.detail)
        else:
            return HttpResponseRedirect(back_url)
    context = {
        **site.each_context(request),
        "title": f"{decision.capitalize()} {len(rows)} of {rows[0].tool}",
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
    is_fresh = fresh(request, given.get("password", ""))
    done, refused = 0, []
    for row in rows:
        actor = scope.actor(request, row.workspace)
        digest = request.POST.get(f"digest-{row.pk}", "")
        try:
            approvals.decide(row.pk, by=actor, decision=decision, digest=digest, reason=given["reason"], fresh=is_fresh)
        except DomainError as error:
            refused.append(f"{str(row.preview.get('sentence') or row.tool)[:200]}: {deciding.told(error, row)}")
        else:
            done += 1
    if done:
        messages.success(request, f"{VERBS[decision].capitalize()}: {done} of {row.tool}.")
    for text in refused:
        messages.error(request, shown.visible_line(text))


def _chosen(request: HttpRequest) -> list[Approval]:
    """The rows that were selected, of those that the person may look at, in the order of urgency."""
    wanted = set()
    for text in request.POST.getlist("ids")[: pending.PAGE]:
        try:
            wanted.add(UUID(text))
        except ValueError:
            continue
    rows = pending.visible(request).filter(pk__in=wanted, status=ApprovalStatus.PENDING)
    return list(rows.select_related("workspace", "requested_by").most_urgent_first())


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
    return ended.select_related("decided_by").only("pk", "status", "decided_by__email").annotate(ago=ago)


def _count(request: HttpRequest, asked: pending.Asked, whose: str) -> str:
    return pending.count(pending.narrowed(request, pending.Asked(whose, asked.tool, asked.agent, asked.risk, None)))


def _with(found: list[str], chosen: str) -> list[str]:
    """The choices, with the one chosen although nothing of it waits."""
    return found if not chosen or chosen in found else sorted([*found, chosen])
