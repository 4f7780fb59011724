"""JSON from outside, read strictly: what parsers differ on or a database cannot store is refused."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.utils.mediatypes import _MediaType

from core.errors import Invalid, TooLarge

SAFE_INTEGER = 2**53 - 1  # beyond it, JavaScript and RFC 8785 read another number
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
# Half a pair, or U+0000, in a text without escaped backslashes.
_BAD_ESCAPE = re.compile(
    rb"\\u(?:0000|[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u)[dD][c-fC-F])", re.DOTALL
)
LONGEST_KEY = 1_000  # characters
MOST_HOLDERS = 100_000  # lists and objects in one body: each costs many times its two bytes


class BadJSON(Invalid):
    """The body is no JSON that we read."""

    code = "bad_json"
    title = "The body is not valid JSON"


def loads(body: bytes, *, limit: int) -> Any:
    """The value of a JSON text of at most `limit` bytes; raises TooLarge, or BadJSON that says where."""
    if len(body) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadJSON(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    _check_depth(body)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadJSON(f"{error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise BadJSON(f"The body is nested more than {settings.JSON_DEPTH_LIMIT} levels deep.") from None
    if _SUSPECT_ESCAPE.search(body) and _BAD_ESCAPE.search(body.replace(b"\\\\", b"  ")):
        _refuse_string(value)
    return value


class StrictJSONParser(BaseParser):
    """Reads the one body that we take: a JSON object. A view may raise its cap with `body_limit`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The object; raises TooLarge, BadJSON, or UnsupportedMediaType for a charset other than UTF-8."""
        charset = _MediaType(media_type or "").params.get("charset", "utf-8")
        if charset.strip('"').lower() not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(media_type or "")
        limit = getattr((parser_context or {}).get("view"), "body_limit", settings.BODY_LIMIT)
        value = loads(stream.read(limit + 1), limit=limit)
        if not isinstance(value, dict):
            raise BadJSON("The body must be a JSON object.")
        return value


def _check_depth(body: bytes) -> None:
    """Refuse deep or endless nesting before the recursive parser sees it; in pieces, so that memory stays small."""
    limit = settings.JSON_DEPTH_LIMIT
    if body.count(b"[") + body.count(b"{") <= limit:
        return
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quote begins or ends a string
    depth, brackets, inside = 0, 0, False
    for start in range(0, len(plain), _PIECE):
        parts = plain[start : start + _PIECE].split(b'"')
        steps = b"".join(parts[inside::2]).translate(_STEPS, _NO_BRACKETS)
        levels = list(accumulate(memoryview(steps).cast("b"), initial=depth))
        if max(levels) > limit:
            raise BadJSON(f"The body is nested more than {limit} levels deep.")
        depth = levels[-1]
        brackets += len(steps)
        if brackets > 2 * MOST_HOLDERS:
            raise BadJSON(f"The body has more than {MOST_HOLDERS} lists and objects.")
        inside ^= len(parts) % 2 == 0


_PIECE = 65_536
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level in, one level out, as signed bytes


def _refuse_string(value: Any) -> None:
    if found := _unstorable(value):
        character, steps = found
        what = "the character U+0000" if character == "\x00" else "half a surrogate pair"
        path = ".".join(_UNSTORABLE.sub("?", step)[:100] for step in reversed(steps))
        raise BadJSON.field(path, f"contains {what}", code="bad_character")


def _unstorable(value: Any) -> tuple[str, list[str]] | None:
    """The first such character, and the steps to it from the inside out: a path is made for the offender alone."""
    if isinstance(value, str):
        found = _UNSTORABLE.search(value)
        return (found[0], []) if found else None
    if isinstance(value, dict):
        for key, item in value.items():
            inner = _unstorable(key) or (_unstorable(item) if type(item) in _HOLDERS else None)
            if inner:
                inner[1].append(key)
                return inner
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if type(item) in _HOLDERS and (inner := _unstorable(item)):
                inner[1].append(str(index))
                return inner
    return None


_HOLDERS = frozenset({str, dict, list})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if value and len(longest := max(value, key=len)) > LONGEST_KEY:
        raise BadJSON.field(_UNSTORABLE.sub("?", longest[:100]), f"is longer than {LONGEST_KEY} characters", "long_key")
    if len(value) != len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key in times if times[key] > 1)
        shown = _UNSTORABLE.sub("?", twice)[:100]
        raise BadJSON.field(shown, "stands twice in one object", code="duplicate_key")
    return value


def _integer(text: str) -> int:
    # The length first: int() of a million digits takes its time.
    if len(text) > 17 or not -SAFE_INTEGER <= (number := int(text)) <= SAFE_INTEGER:
        raise BadJSON(f"The number {text[:20]} is beyond ±(2^53 - 1); send it as a text.")
    return number


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadJSON(f"The number {text[:20]} is too large.")
    return number


def _constant(text: str) -> None:
    raise BadJSON(f"{text} is not JSON.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
