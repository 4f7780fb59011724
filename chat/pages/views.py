"""The chat page: what a person said with companions, in a form that can be read before any script has run."""

import re
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_safe

from accounts.models import Actor
from accounts.signedin import signed_in
from approvals.api.serializers import ApprovalOut
from approvals.models import Approval
from approvals.services import deciders
from chat.dialects.native import sessions
from chat.dialects.native.serializers import SessionOut
from chat.models import Conversation, MessageRole
from chat.services import attachments, conversations
from companions.models import Companion, Mood
from core import images

LISTED = 40  # conversations on the side
SHOWN = 40  # messages; older ones are fetched when somebody looks for them
READABLE = 6  # of them that are in the page before a script has run: those that fill a screen
MOST_COMPANIONS = 100
MOST_APPROVALS = 100


class NoConversation(conversations.UnknownSession):
    """As people are told it."""

    title = "There is no such conversation"
    default_detail = "It was deleted, or it is another person's."


@require_safe
@signed_in
def home(request: HttpRequest, actor: Actor) -> HttpResponse:
    """A conversation that is yet to begin."""
    return _page(request, actor, None)


@require_safe
@signed_in
def conversation(request: HttpRequest, actor: Actor, session_id: UUID) -> HttpResponse:
    """One of the caller's conversations; raises NoConversation."""
    try:
        return _page(request, actor, conversations.get(session_id, by=actor))
    except conversations.UnknownSession:
        raise NoConversation from None


def _page(request: HttpRequest, actor: Actor, found: Conversation | None) -> HttpResponse:
    rows = Companion.objects.visible_to(actor).select_related("agent").order_by("name", "pk")[:MOST_COMPANIONS]
    companions = list(rows)
    listed = conversations.page(by=actor, limit=LISTED)
    chosen = _chosen(companions, request.GET.get("companion", ""), listed.rows)
    session = sessions.newest(found, limit=SHOWN) if found else None
    state = {
        "session": _slim(session) if session else None,
        "partner": _partner(found) if found else "",
        "approvals": _approvals(actor, session) if session else [],
        "sessions": SessionOut(listed.rows, many=True).data,
        "next_cursor": listed.next_cursor,
        "limits": LIMITS,
    }
    context = {
        "place": "chat",
        "state": state,
        "conversation": found,
        "partner": state["partner"],
        "said": _readable(session) if session else [],
        "listed": listed.rows,
        "companions": companions,
        "chosen": chosen.type if chosen else "",
        "moods": Mood.choices,
        "tries": [] if found else _tries(companions, chosen),
        "modules": MODULES,
    }
    return render(request, "chat/page.html", context)


LIMITS = {
    "message": settings.MESSAGE_LIMIT,
    "title": settings.TITLE_LIMIT,
    "images": attachments.MOST,
    "image_bytes": images.BYTES_LIMIT,
    "image_types": list(images.TYPES),
    "body_bytes": settings.BODY_LIMIT_IMAGES,
}
"""What the composer tells before something is sent that would be refused."""
_OWN = (
    "answer", "api", "cards", "composer", "dialogs", "dom", "layout", "live", "markdown", "messages", "pictures",
    "sidebar", "stream", "transcript",
)  # fmt: skip
MODULES = [
    *(f"countersign/chat/{name}.js" for name in _OWN),
    "vendor/marked-18.2.1/marked.esm.js",
    "vendor/dompurify-3.4.18/purify.min.js",
]
"""What the page's module imports, told ahead so that a browser fetches all of them at once."""


TRIES = {
    "service_restart": "Please restart the web service.",
    "service_status": "What is the status of the services?",
    "device_list": "List the devices at home.",
    "web_search": "What happened in the world today?",
}
"""What a newcomer may ask who can use a tool; the first shows what it is to wait for a manager.

The words name the tool, so that the rehearsal calls it too, but for the web, where it has nothing to look for.
"""
MOST_TRIES = 3
MEMORY_TRIES = ("Remember that I prefer short answers.", "What do you know about me?")


def _chosen(companions: list[Companion], wanted: str, listed: list[Conversation]) -> Companion | None:
    """Whom a new conversation is with unless another is chosen: who is asked for, or was talked with last."""
    by_type = {one.type: one for one in companions}
    talked = [one.companion.type for one in listed if one.companion]
    return next((by_type[one] for one in (wanted, *talked, *by_type) if one in by_type), None)


def _tries(companions: list[Companion], chosen: Companion | None) -> list[dict[str, Any]]:
    """Things to try, and with whom: with the tools that the companions have, and with the memory of the chosen one."""
    able = [
        (text, next((one for one in companions if tool in one.agent.all_tools), None)) for tool, text in TRIES.items()
    ]
    found = [{"text": text, "companion": one} for text, one in able if one][:MOST_TRIES]
    return [*found, *({"text": text, "companion": chosen} for text in MEMORY_TRIES if chosen)]


def _readable(session: dict[str, Any]) -> list[dict[str, Any]]:
    """The newest messages, for the page as it is first painted."""
    newest = session["messages"][-READABLE:]
    return [
        {
            "id": one["id"],
            "content": _TURNS.sub(_numbered, one["content"]),
            "mine": one["role"] == MessageRole.USER,
            "at": parse_datetime(one["created_at"]),
        }
        for one in newest
    ]


_TURNS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def _numbered(found: re.Match[str]) -> str:
    """What turns the direction of writing, as the page's script shows it."""
    return f"⟨U+{ord(found[0]):04X}⟩"


def _slim(session: dict[str, Any]) -> dict[str, Any]:
    """The session without what is said twice: an answer is its parts, and a person's text is its content."""
    slim = []
    for one in session["messages"]:
        if one["role"] == MessageRole.USER:
            slim.append({**one, "parts": [part for part in one["parts"] if part["type"] != "text"]})
        else:
            slim.append({**one, "content": ""})
    return {**session, "messages": slim}


def _partner(found: Conversation) -> str:
    """Whom the person talks with."""
    partner = found.companion or found.team or found.agent
    return partner.name if partner else ""


def _approvals(actor: Actor, session: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked for in the runs that are shown, to stand where it was asked."""
    runs = [turn["run_id"] for turn in session["turns"]]
    rows = Approval.objects.visible_to(actor).filter(run_id__in=runs).select_related("requested_by", "decided_by")
    found = list(rows.order_by("-id")[:MOST_APPROVALS])
    deciders.gather(found)
    return list(ApprovalOut(found, many=True).data)
