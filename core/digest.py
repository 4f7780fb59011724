"""What a thing is, in 32 bytes: SHA-256 over canonical JSON (RFC 8785), the same here and in a browser."""

import hashlib
from typing import Any

import rfc8785

from core.errors import Invalid


def canonical(value: Any) -> bytes:
    """The one JSON text of a value; raises Invalid for NaN, integers past 2^53 and what is not JSON."""
    try:
        return rfc8785.dumps(value)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The value has no canonical JSON: {error}") from error


def sha256(value: Any) -> bytes:
    """The digest of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).digest()


def hexdigest(value: Any) -> str:
    """The digest as 64 hexadecimal characters."""
    return sha256(value).hex()
