"""Identifiers: UUIDv7, so that ids sort by time and indexes grow at their end."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new() -> UUID:
    """A new UUIDv7."""
    return uuid7()
