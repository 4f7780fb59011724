"""Servers elsewhere that are asked while a person waits: a few at a time, because each keeps a web thread waiting."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Unavailable

MOST_ASKED = 3  # at once, by one process, whatever they are asked for
_places = threading.BoundedSemaphore(MOST_ASKED)


class TooManyAsked(Unavailable):
    """This process asks as many servers as it may."""

    code = "too_many_asked"
    title = "Too many servers are being asked"
    default_detail = "As many other servers are being asked as may be at once. Try again in a few seconds."
    default_headers = {"Retry-After": "5"}


@contextmanager
def place() -> Iterator[None]:
    """A place among those who ask, until the block ends; raises TooManyAsked at once where there is none."""
    if not _places.acquire(blocking=False):
        raise TooManyAsked
    try:
        yield
    finally:
        _places.release()
