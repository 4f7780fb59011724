"""What channels are sent: a message of Slack, an Adaptive Card of Microsoft Teams.

What people and models wrote stands in elements that know no markup: `plain_text` there, runs of text here. So neither
can it mention anybody, nor become a link; Slack's three characters with a meaning are escaped all the same.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from approvals import texts
from approvals.texts import Told

UNDECIDED = "Nothing is decided by opening the page."
HEADING = 150  # characters that Slack takes in a header
FIELDS = 10  # facts that Slack takes in a section
FALLBACK = "Countersign has something to tell: open its inbox."  # of clients too old for the card; it may hold markup
CARD = "application/vnd.microsoft.card.adaptive"


def compose(kind: str, type: str, payload: dict[str, Any], at: datetime) -> dict[str, Any]:
    """The body for a channel of this kind, the same at each attempt."""
    told = texts.of(type, {**payload, "together": True}, at)
    return _BODIES[kind](replace(told, about=UNDECIDED) if told.action == texts.DECIDE else told)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str, most: int = 2_000) -> dict[str, Any]:
    return {"type": "plain_text", "text": _cut(_escaped(text), most), "emoji": False}


def _cut(escaped: str, most: int) -> str:
    """The beginning of an escaped text, without a part of an escape at its end."""
    if len(escaped) <= most:
        return escaped
    cut = escaped[: most - 1]
    start = cut.rfind("&")
    return (cut[:start] if start >= 0 and ";" not in cut[start:] else cut) + "…"


def _slack(told: Told) -> dict[str, Any]:
    fields = [_plain(f"{name}\n{value}") for name, value in told.facts[:FIELDS]]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(told.heading, HEADING)}]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    if told.link:
        link = {"type": "mrkdwn", "text": f"<{told.link}|{_escaped(told.action)}>", "verbatim": True}
        blocks.append({"type": "section", "text": link})
    if told.about:
        blocks.append({"type": "context", "elements": [_plain(told.about)]})
    # The text is what a notification and a screen reader say.
    return {"text": _escaped(told.heading), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _teams(told: Told) -> dict[str, Any]:
    body = [_runs([_run(told.heading, weight="bolder", size="large")])]
    body += [_runs([_run(f"{name}: ", weight="bolder"), _run(value)]) for name, value in told.facts]
    if told.about:
        body.append(_runs([_run(told.about, isSubtle=True)]))
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": FALLBACK,
        "body": body,
    }
    if told.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": told.action, "url": told.link}]
    return {"type": "message", "attachments": [{"contentType": CARD, "contentUrl": None, "content": card}]}


def _runs(inlines: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": inlines}


def _run(text: str, **look: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **look}


_BODIES: dict[str, Callable[[Told], dict[str, Any]]] = {"slack": _slack, "teams": _teams}
