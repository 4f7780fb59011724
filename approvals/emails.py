"""E-mails to approvers. They say what is asked and link to its page in the admin; nothing can be decided from them."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.dateparse import parse_datetime

from approvals import shown

LONGEST = 300  # characters of one value
PAGE = "/admin/approvals/approval/{}/change/"


def compose(id: UUID, type: str, payload: dict[str, Any], to: str) -> EmailMultiAlternatives:
    """The e-mail of an outbox row, the same at each attempt: mail programs know a repetition by its Message-ID."""
    heading = _heading(type, payload)
    context = {
        "heading": heading,
        "facts": [(name, plain(value)) for name, value in _facts(payload) if value],
        "link": settings.PUBLIC_URL + PAGE.format(UUID(payload["approval_id"])),
    }
    message = EmailMultiAlternatives(
        subject=f"[Countersign] {heading}",
        body=render_to_string("email/approval.txt", context),
        to=[to],
        headers={
            "Message-ID": f"<{id}@{urlsplit(settings.PUBLIC_URL).hostname}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(render_to_string("email/approval.html", context), "text/html")
    return message


def plain(value: object) -> str:
    """A value as one line in which everything can be seen, and of which mail programs make no link."""
    seen = "".join(c if c.isprintable() else f"\u27e8{shown.number(c)}\u27e9" for c in str(value)[:LONGEST])
    return seen.replace("://", "\u27e8://\u27e9")


def _heading(type: str, payload: dict[str, Any]) -> str:
    tool = plain(payload["tool"])
    if type == "approval.requested":
        return f"{tool} was passed on to you" if payload.get("escalated") else f"{tool} waits for your decision"
    if payload["status"] == "expired":
        return f"{tool} expired: nobody decided in time"
    how = " by one person, in an emergency" if payload.get("break_glass") else ""
    return f"{tool} was {payload['status']}{how}"


def _facts(payload: dict[str, Any]) -> list[tuple[str, Any]]:
    pending = payload["status"] == "pending"
    ends, by = parse_datetime(payload["expires_at"]), payload.get("decided_by")
    return [
        ("What", payload.get("summary")),
        ("Tool", payload["tool"]),
        ("Risk", payload["risk"]),
        ("Agent", payload.get("agent")),
        ("Companion", payload.get("companion")),
        ("Ends", pending and ends and f"{ends:%Y-%m-%d %H:%M} UTC"),
        ("Decided by", by and by["name"]),
        ("Reason", payload.get("reason")),
    ]
