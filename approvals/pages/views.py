"""Looking: the lists, how one request stands, and how much waits. Nothing here changes anything."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import Actor
from approvals import shown, waiting
from approvals.models import Risk
from approvals.pages import listing, one
from approvals.pages.door import counted

MOST_KNOWN = 100  # rows of an open page that it asks to be told the end of
NEWEST = 10
SENTENCE = 200


@require_safe
@counted
def inbox(request: HttpRequest, actor: Actor) -> HttpResponse:
    """A list; with `fragment` in the address its rows alone, with what became of those named in `known`."""
    asked = request.GET.get("show", "")
    lists = listing.lists(actor)
    show = listing.Show(asked) if asked in lists else listing.Show.MINE
    mine = waiting.of(actor)
    found = listing.read(show, actor, mine)
    context: dict[str, Any] = {
        "place": "approvals",
        "show": show,
        "lists": lists,
        "listed": found,
        "alike": listing.alike(found.rows) if show == listing.Show.MINE else [],
        "waiting": waiting.count(waiting.for_actor(actor, mine)),
        "most": listing.MOST,
    }
    if "fragment" in request.GET:
        context["gone"] = listing.gone(actor, listing.ids(request.GET.get("known", "").split(",")[:MOST_KNOWN]))
        return render(request, "approvals/pages/rows.html", context)
    return render(request, "approvals/pages/inbox.html", context)


@require_safe
@counted
def standing_now(request: HttpRequest, actor: Actor, approval_id: UUID) -> HttpResponse:
    """How a request stands now, for the open page: its votes, its time, and who decided; raises Unknown."""
    row = one.find(approval_id, actor)
    return render(request, "approvals/standing.html", {"approval": row, **one.stands(row, actor)})


@require_safe
@counted
def waits(request: HttpRequest, actor: Actor) -> JsonResponse:
    """How much waits for one's vote, and the newest of it in words, for a page that tells of it."""
    rows = waiting.for_actor(actor)
    newest = [
        {
            "id": str(row.pk),
            "title": shown.plain_line(f"{row.tool} waits for your decision", SENTENCE),
            "text": shown.plain_line(f"{Risk(row.risk).label}: {row.preview.get('sentence') or row.tool}", SENTENCE),
        }
        for row in rows.only("pk", "tool", "risk", "preview").order_by("-pk")[:NEWEST]
    ]
    return JsonResponse({"waiting": waiting.count(rows), "newest": newest})
