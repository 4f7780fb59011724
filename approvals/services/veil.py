"""What the audit log keeps of a value: all of it, save that secrets become keyed hashes.

Equal secrets of a workspace have equal hashes, so that it can be told whether two were the same, and nothing else.
"""

import hashlib
import hmac
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from django.conf import settings

from core import logs
from core.digest import canonical
from core.sealed import Secret

LONGEST = 10_000  # characters of one text
DEEPEST = 64
EXACT = 2**53  # beyond it, JSON's numbers are not those of every reader


def over(value: Any, *, workspace_id: UUID) -> Any:
    """The value as JSON has it, without secrets; what is too long or too deep is cut, and hashed as a whole."""
    return _plain(value, partial(_hashed, _key(settings.SECRET_KEY, workspace_id)), DEEPEST)


def _plain(value: Any, hide: Callable[[str], str], depth: int) -> Any:
    if isinstance(value, bool | None):
        return value
    if isinstance(value, Secret):
        return hide(value)
    if isinstance(value, int | float):
        return _number(value, hide)
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {_text(str(name), hide): _member(str(name), inner, hide, depth - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner, hide, depth - 1) for inner in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return _text(str(value), hide)


def _member(name: str, value: Any, hide: Callable[[str], str], depth: int) -> Any:
    inner = _plain(value, hide, depth)
    if inner in (None, "", True, False) or not logs.is_secret_name(name):
        return inner
    return hide(value if isinstance(value, str) else canonical(inner).decode())


def _number(value: float, hide: Callable[[str], str]) -> Any:
    text = repr(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else text
    masked = logs.mask(text, hide)  # as long as a card's
    return value if masked == text and abs(value) < EXACT else masked


def _text(text: str, hide: Callable[[str], str]) -> str:
    clean = text if text.isascii() else text.encode(errors="replace").decode()  # a lone surrogate is no UTF-8
    masked = logs.mask(clean, hide)
    return masked if len(masked) <= LONGEST else f"{masked[:LONGEST]}… {hide(clean)}"


def _hashed(key: bytes, secret: str) -> str:
    text = secret.strip("\"'").encode(errors="replace")
    return f"hmac:{hmac.digest(key, text, 'sha256').hex()[:16]}"


@lru_cache(maxsize=1024)
def _key(secret: str, workspace_id: UUID) -> bytes:
    return hmac.digest(secret.encode(), b"countersign audit " + workspace_id.bytes, hashlib.sha256)
