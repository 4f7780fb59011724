"""Identifiers: UUIDv7, so that ids sort by time and indexes grow at their end."""

import datetime
import hashlib
from uuid import UUID

from uuid_utils.compat import uuid7


def new() -> UUID:
    """A new UUIDv7."""
    return uuid7()


def derived(of: UUID, *others: UUID) -> UUID:
    """The one UUIDv7 that these make together, with the time of the first: whoever makes it again makes the same."""
    rest = hashlib.sha256(b"".join(one.bytes for one in (of, *others))).digest()
    number = int.from_bytes(of.bytes[:6] + rest[:10])
    return UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def first_since(moment: datetime.datetime) -> UUID:
    """The lowest id that a row made since then can have: ids begin with their time, which spares an index on it."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def made_at(made: UUID) -> int:
    """When an id of ours was made, in whole seconds since 1970."""
    return (made.int >> 80) // 1000
