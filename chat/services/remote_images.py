"""Images that a client names by their addresses: fetched from the public internet, as many as a message may have."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings

from agents.services import asking
from chat.services import attachments
from chat.services.quoting import LEFT_OUT, Line
from core import guarded, images
from core.errors import Invalid

SECONDS = 10.0
REDIRECTS = 3
FAILURES = (guarded.UrlRefused, guarded.Unreachable, guarded.WrongType)

Fetched = dict[str, dict[str, Any] | str]
"""By address an image as `attachments.read` takes it, or why there is none."""


def fetched(lines: Sequence[Line]) -> Sequence[Line]:
    """The lines with what is at the addresses of their images, the newest first and as many as a message may have.

    Raises Invalid where one of the last message that has any cannot be had, TooManyAsked; a note stands for an older
    one, which may well be gone.
    """
    last = next((line for line in reversed(lines) if line.role == "user"), None)
    wanted = [one for line in reversed(lines) for one in line.images][: attachments.MOST]
    urls = list(dict.fromkeys(one["url"] for one in wanted if "url" in one))
    if not urls:
        return lines
    with asking.place():
        found = dict(zip(urls, asyncio.run(_all(urls)), strict=True))
    return [_with(line, found, refuse=line is last) for line in lines]


def _with(line: Line, found: Fetched, *, refuse: bool) -> Line:
    kept: list[dict[str, Any]] = []
    notes = ""
    for one in line.images:
        image = found.get(one["url"], "It is one of too many.") if "url" in one else one
        if isinstance(image, dict):
            kept.append(image)
        elif refuse:
            raise Invalid.field("messages", f"The image at {one['url'][:200]} cannot be had. {image}", "bad_image")
        else:
            notes += LEFT_OUT
    return replace(line, images=kept, text=notes + line.text)


async def _all(urls: Sequence[str]) -> list[dict[str, Any] | str]:
    return list(await asyncio.gather(*map(_one, urls)))


async def _one(url: str) -> dict[str, Any] | str:
    """The image at an address, or why there is none."""
    try:
        answer = await guarded.request(
            "GET",
            url,
            headers={"Accept": ", ".join(images.TYPES)},
            seconds=SECONDS,
            most_bytes=images.BYTES_LIMIT,
            follow=REDIRECTS,
            private=settings.TOOL_PRIVATE_ADDRESSES,
            types=images.TYPES,
        )
    except FAILURES as error:
        return error.detail
    if answer.status != 200:
        return f"Its server answered {answer.status}."
    if not answer.whole:
        return f"It is over {images.BYTES_LIMIT:,} bytes."
    return {"media_type": answer.media_type, "data": base64.b64encode(answer.body).decode()}
