"""Deciding: one request, one that cannot be taken back, one with other arguments, and several of one tool.

A GET shows; a POST, with the token against forgery and the digest of what was shown, decides by the services.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods

from accounts.models import Actor
from approvals import editing, lots, replies, shown
from approvals.forms import ArgumentsForm, BallotForm, WrongPassword, fresh
from approvals.models import Approval, Decision, Risk
from approvals.pages import listing, one
from approvals.pages.door import counted
from approvals.services import approvals
from core import digest
from core.errors import Conflict, DomainError

door = require_http_methods(["GET", "HEAD", "POST"])


def on_one(view: Callable[[HttpRequest, Actor, Any], HttpResponse]) -> Callable[..., HttpResponseBase]:
    """A page of one request, for who may see it; raises Unknown, of which the log is told where they would decide."""

    @wraps(view)
    def page(request: HttpRequest, actor: Actor, approval_id: UUID) -> HttpResponse:
        try:
            row = one.find(approval_id, actor)
        except one.Unknown:
            return _not_here(request, approval_id, actor)
        return view(request, actor, row)

    return door(counted(page))


@on_one
def approval(request: HttpRequest, actor: Actor, row: Any) -> HttpResponse:
    """A request's page, and the decisions that are taken on it."""
    form, status = BallotForm(row, request.POST if request.method == "POST" else None), 200
    if form.is_bound:
        done, status = _cast(request, row, actor, form)
        if done is not None:
            return done
        row = one.find(row.pk, actor)
    context = {**one.shown(row, actor), **_filled(form, row)}
    return render(request, "approvals/pages/approval.html", context, status=status)


@on_one
def approve(request: HttpRequest, actor: Actor, row: Any) -> HttpResponse:
    """The second step of approving what cannot be taken back."""
    form, status = BallotForm(row, request.POST if request.method == "POST" else None), 200
    if form.is_bound:
        done, status = _cast(request, row, actor, form)
        if done is not None:
            return done
        row = one.find(row.pk, actor)
    context = one.shown(row, actor)
    if not form.is_bound and (row.risk != Risk.DESTRUCTIVE or not context["decides"]):
        return redirect("approval", row.pk)
    context |= _filled(form, row)
    return render(request, "approvals/pages/approve.html", context, status=status)


@on_one
def edit(request: HttpRequest, actor: Actor, row: Any) -> HttpResponse:
    """Other arguments: shown beside the proposal first, approved by a second button."""
    first = {"digest": row.digest, "arguments": shown.pretty(row.arguments)}
    form = ArgumentsForm(request.POST if request.method == "POST" else None, initial=first)
    ballot = BallotForm(row, request.POST if "decision" in request.POST else None, edits=True)
    taken = editing.take(request, row, actor, form, ballot)
    if taken.decided is not None:
        return _done(request, taken.decided)
    if isinstance(taken.refusal, Conflict) and _is_counted(row, actor, form.cleaned_data["arguments"]):
        return _again(request, row)
    if not form.is_bound and not (row.terms["editable"] and one.shown(row, actor)["decides"]):
        return redirect("approval", row.pk)
    context = {"place": "approvals", **taken.context}
    return render(request, "approvals/pages/edit.html", context, status=taken.status)


@door
@counted
def together(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Several requests of one tool, each with its exact arguments and a box; each is decided by itself."""
    if request.method == "POST":
        return _take_together(request, actor, request.POST.get("tool", "")[:200])
    tool = request.GET.get("tool", "")[:200]
    rows = listing.of_tool(actor, tool)
    if not rows:
        return redirect("inbox")
    return _draw_together(request, tool, rows, lots.LotForm(rows, Decision.APPROVE))


def _take_together(request: HttpRequest, actor: Actor, tool: str) -> HttpResponse:
    """Decide what was ticked, though others are more urgent by now; or the page again, with the reason why not."""
    chosen, decision = listing.ids(request.POST.getlist("ids")), request.POST.get("decision", "")
    rows = listing.ticked(actor, tool, chosen[: listing.MOST_TOGETHER])
    form, refused, status = lots.LotForm(rows, Decision.APPROVE), "", 400
    if decision not in lots.VERBS:
        refused = "Say whether to approve or to reject."
    elif not rows:
        refused = "Nothing was decided: tick the requests that you have read."
    elif len(chosen) > listing.MOST_TOGETHER:
        refused = f"Nothing was decided: tick {listing.MOST_TOGETHER} at most."
    else:
        form = lots.LotForm(rows, Decision(decision), request.POST)
        if form.is_valid():
            try:
                _decide_together(request, rows, actor, Decision(decision), form.cleaned_data, len(chosen))
                return redirect("inbox")
            except DomainError as error:
                form.add_error("password" if isinstance(error, WrongPassword) else None, error.detail)
                status = error.status
    waiting = listing.of_tool(actor, tool, [row.pk for row in rows])
    return _draw_together(request, tool, waiting, form, refused, status)


def _draw_together(
    request: HttpRequest, tool: str, rows: list[Approval], form: lots.LotForm, refused: str = "", status: int = 200
) -> HttpResponse:
    """The page; what was ticked stays so where it is what was shown."""
    sent, ids = request.POST, request.POST.getlist("ids")
    read = {str(row.pk) for row in rows if str(row.pk) in ids and sent.get(f"digest-{row.pk}") == row.digest}
    context = {"place": "approvals", "tool": tool, "rows": rows, "chosen": read, "form": form, "refused": refused}
    return render(request, "approvals/pages/together.html", context, status=status)


def _decide_together(
    request: HttpRequest, rows: list[Approval], actor: Actor, decision: Decision, given: dict[str, Any], many: int
) -> None:
    """Decide each of so many and tell what came of it; raises what keeps the person from any."""
    done, refused = lots.decide(
        rows,
        decision,
        by=lambda row: actor,
        sent=request.POST,
        reason=given["reason"],
        fresh=fresh(request, given.get("password", "")),
    )
    if done:
        messages.success(request, f"{lots.VERBS[decision].capitalize()}: {done} of {rows[0].tool}.")
    for text in refused:
        messages.error(request, shown.visible_line(text))
    if many > len(rows):
        messages.error(request, f"Not decided: {many - len(rows)} that you ticked, which cannot be decided here.")


def _filled(form: BallotForm, row: Approval) -> dict[str, Any]:
    """The form of a page, what was sent, and whether the request has changed since: then the form is a new one."""
    if not form.is_bound:
        return {"form": form, "sent": None}
    again = form.beside(row)
    return {"form": again, "sent": form, "changed": replies.CHANGED if again is not form else ""}


def _not_here(request: HttpRequest, approval_id: UUID, actor: Actor) -> HttpResponse:
    """Where the request is in another workspace of the person's, the way there; else raises Unknown."""
    there, decides = one.elsewhere(approval_id, actor), request.method == "POST"
    if there is not None:
        context = {
            "place": "approvals",
            "there": there,
            "decides": decides,
            "page": reverse("approval", args=[approval_id]),
        }
        return render(request, "approvals/pages/elsewhere.html", context, status=409 if decides else 200)
    if decides:
        one.log_stranger(approval_id, actor)
    raise one.Unknown


def _cast(request: HttpRequest, row: Any, actor: Actor, form: BallotForm) -> tuple[HttpResponse | None, int]:
    """Cast what was sent: where to go then, or None and the status of the page that tells why not."""
    if not form.is_valid():
        return None, 400
    try:
        given = form.cast(request)
        return _done(request, approvals.decide(row.pk, by=actor, **given)), 302
    except DomainError as error:
        sent = form.cleaned_data
        if isinstance(error, Conflict) and replies.counted(row, actor, Decision(sent["decision"]), sent["digest"]):
            return _again(request, row), 302
        form.refuse(error)
        return None, error.status


def _is_counted(row: Approval, actor: Actor, arguments: dict[str, Any]) -> bool:
    """Whether just these arguments were put in place and approved before."""
    now = Approval.objects.only("arguments", "digest").get(pk=row.pk)
    same = digest.canonical(now.arguments) == digest.canonical(arguments)
    return same and replies.counted(now, actor, Decision.APPROVE, now.digest)


def _again(request: HttpRequest, row: Approval) -> HttpResponse:
    messages.info(request, "This was counted the first time; pressing twice decides once.")
    return HttpResponseRedirect(reverse("approval", args=[row.pk]))


def _done(request: HttpRequest, decided: Approval) -> HttpResponse:
    said = shown.visible_line(f"{decided.preview.get('sentence') or decided.tool}")
    link = format_html('<a href="{}">See what becomes of it</a>', reverse("approval", args=[decided.pk]))
    messages.success(request, format_html("{} {} {}", replies.result(decided), said, link))
    return redirect("inbox")
