"""Addresses of images that open for a while without a key, for clients whose pictures send none.

A signature is over the image's id and the time when it was made: it opens that image alone, wherever it is shown, and
nothing of anybody's once ATTACHMENT_URL_SECONDS are over.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing

SALT = "chat.attachment"
PATH = "/v1/ai/attachments/"


def signed(parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of a message as they are shown to its reader: an image's `url` opens from now on for a while."""
    return [{**one, "url": _url(str(one["attachment_id"]))} if one["type"] == "image" else one for one in parts]


def opens(attachment_id: UUID, signature: str) -> bool:
    """Whether the signature is one of this image's, and its time is not over."""
    lasts = timedelta(seconds=settings.ATTACHMENT_URL_SECONDS)
    try:
        told = _signer().unsign(f"{attachment_id}:{signature}", max_age=lasts)
    except signing.BadSignature:
        return False
    return told == str(attachment_id)


def _url(attachment_id: str) -> str:
    return f"{PATH}{attachment_id}?signature={_signer().sign(attachment_id).partition(':')[2]}"


def _signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=SALT)
