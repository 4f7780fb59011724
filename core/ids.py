"""Identifiers: UUIDv7, so that ids sort by time and indexes grow at their end."""

import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new() -> UUID:
    """A new UUIDv7."""
    return uuid7()


def first_since(moment: datetime.datetime) -> UUID:
    """The lowest id that a row made since then can have: ids begin with their time, which spares an index on it."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
