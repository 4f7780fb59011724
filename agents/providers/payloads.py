"""JSON from a provider's stream into structs, with what some servers get wrong put right. Pure."""

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


class Unreadable(ValueError):
    """It is no JSON, or has another shape than it should."""


def decode(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    """What the payload says; raises Unreadable."""
    try:
        return decoder.decode(payload)
    except _UNREADABLE:
        pass
    try:  # half of a surrogate pair, from a server that cuts its tokens by UTF-16 units
        return decoder.decode(_LONE_SURROGATE.sub(rb"\\ufffd", payload))
    except _UNREADABLE:
        raise Unreadable from None
