"""The tool that reads a page of the web. See docs/decisions/0014-the-web.md for when it asks first."""

from typing import Annotated, Any

import msgspec
from django.conf import settings
from msgspec import Meta
from yarl import URL

from agents.tools import outside
from agents.tools.registry import Context, Preview, Retry, Risk, ToolFailed, ToolResult, tool
from agents.tools.web import addresses, pages
from core import bridge, guarded
from core.errors import Invalid

SECONDS = 20.0
MOST_BYTES = 2_000_000  # of a page, unpacked
MOST_CHARACTERS = 15_000  # of its text, in one result
REDIRECTS = 5
ACCEPT = "text/html, application/xhtml+xml, text/plain;q=0.9, application/json;q=0.8, */*;q=0.1"

Url = Annotated[str, Meta(description="The address, with https:// or http://.", max_length=guarded.LONGEST_LINK)]
Start = Annotated[int, Meta(description="The character to begin at, to read on.", ge=0, le=MOST_BYTES)]


def _risk(context: Context, url: str, **_: Any) -> Risk:
    """An address that the person wrote or a search found tells nobody anything that a model has chosen."""
    return Risk.READ if addresses.named(url, context.heard()) else Risk.EXTERNAL


def _well_formed(_context: Context, url: str, **_: Any) -> None:
    """Refuse what is no address of the web; raises Invalid."""
    try:
        guarded.parse(url)
    except guarded.UrlRefused as error:
        raise Invalid.field("url", error.detail) from None


def _preview(_context: Context, url: str, **_: Any) -> Preview:
    parts = URL(url)
    host = parts.raw_host or ""  # as it is asked for: letters that only look like others show
    return Preview(
        f"Read a page of {host}. Its address is one that nobody wrote: look whether it carries anything out.",
        recipients=[host],
        details={"address": str(parts)},
    )


@tool(
    risk=Risk.EXTERNAL, retry=Retry.IDEMPOTENT, timeout=60,
    validate=_well_formed, preview=_preview, risk_of=_risk,
)  # fmt: skip
async def web_fetch(context: Context, url: Url, start: Start = 0) -> ToolResult:
    """Read a page of the web as text. Use addresses that the person or a search gave; others need an approval."""
    try:
        answer = await guarded.request(
            "GET",
            url,
            headers={"Accept": ACCEPT},
            seconds=SECONDS,
            most_bytes=MOST_BYTES,
            follow=REDIRECTS,
            private=settings.TOOL_PRIVATE_ADDRESSES,
            types=pages.HTML | pages.TEXT,
        )
    except (guarded.UrlRefused, guarded.Unreachable, guarded.WrongType) as error:
        raise ToolFailed(f"The page cannot be read. {error.detail}") from None
    if answer.status in guarded.REDIRECTS:
        raise ToolFailed(f"The page cannot be read. It redirects more than {REDIRECTS} times.")
    if not 200 <= answer.status < 300:
        raise ToolFailed(f"The page cannot be read. Its server answered {answer.status}.")
    page = await bridge.in_slow_thread(pages.read, answer)
    return _told(page, answer, start)


def _fitting(text: str) -> str:
    """As much of the text as there is room for, once it is JSON."""
    while (size := len(msgspec.json.encode(text).decode())) > MOST_CHARACTERS + MOST_CHARACTERS // 10:
        text = text[: len(text) * MOST_CHARACTERS // size]
    return text


def _told(page: pages.Page, answer: guarded.Answer, start: int) -> ToolResult:
    """The result: the text from `start` on, and what of it is missing."""
    if not page.text:
        raise ToolFailed("There is no readable text on the page; perhaps a program in it makes all of it.")
    text = _fitting(page.text[start : start + MOST_CHARACTERS])
    end, size = start + len(text), len(page.text)
    missing = []
    if start or end < size:
        missing.append(f"These are the characters {start:,} to {end:,} of {size:,}.")
    if end < size:
        missing.append(f"To read on, call it with start={end}.")
    if not answer.whole:
        missing.append(f"Of the page only the first {MOST_BYTES:,} bytes were read.")
    address = outside.line(answer.url, guarded.LONGEST_LINK)
    content = outside.marked(
        "Text of a web page",
        url=address,
        title=page.title or None,
        missing=" ".join(missing) or None,
        text=text,
    )
    return ToolResult(content, f"{page.title or address}: {size:,} characters")
