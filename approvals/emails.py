"""E-mails, each as HTML and as text, with one link to a page; nothing can be decided from them."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from approvals import texts

DIGEST = "digest"
"""The type of an e-mail of several notices, each in its payload with the type and the payload that it has alone."""
FOOTER = "Nothing is decided by opening the page, or by answering this e-mail."


def compose(id: UUID, type: str, payload: dict[str, Any], to: str, at: datetime) -> EmailMultiAlternatives:
    """The e-mail of an outbox row, the same at each attempt: mail programs know a repetition by its Message-ID."""
    if type == DIGEST:
        told = _digest(payload, at)
    else:
        one = texts.of(type, payload, at)
        told = {"heading": one.heading, "notices": [one]}
    asks = any(one.action == texts.DECIDE for one in told["notices"])
    context = {**told, "footer": FOOTER if asks else ""}
    message = EmailMultiAlternatives(
        subject=f"[Countersign] {told['heading']}",
        body=render_to_string("email/notice.txt", context),
        to=[to],
        headers={
            "Message-ID": f"<{id}@{urlsplit(settings.PUBLIC_URL).hostname}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(render_to_string("email/notice.html", context), "text/html")
    return message


def _digest(payload: dict[str, Any], at: datetime) -> dict[str, Any]:
    """What waits, and what else there was, in words."""
    zone = {"time_zone": payload.get("time_zone")}
    notices = [texts.of(one["type"], {**one["payload"], **zone}, at) for one in payload["notices"]]
    waiting, more = payload["waiting"], payload["more"]
    parts = []
    if waiting:
        parts.append("1 request waits for you" if waiting == 1 else f"{waiting} requests wait for you")
    if rest := len(notices) + more - waiting:
        parts.append("1 other notice" if rest == 1 else f"{rest} other notices")
    return {"heading": " and ".join(parts), "notices": notices, "digest": True, "more": more, "inbox": texts.page()}
