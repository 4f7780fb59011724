"""When memories were last recalled: noted in this process, and stored together a moment later, at no answer's cost.

What a process that dies has not stored is lost; it says nothing but when.
"""

import threading
from collections.abc import Iterable
from uuid import UUID

from django.db import connection

MOST = 10_000  # that wait; others go unnoted

_waiting: set[UUID] = set()
_lock = threading.Lock()

# Who forgets or changes an entry at this moment is not waited for, nor does anybody wait for us in another order.
_STORE = """
UPDATE memory_entry SET last_recalled_at = clock_timestamp() WHERE id IN (
    SELECT id FROM memory_entry WHERE id = ANY(%s) FOR NO KEY UPDATE SKIP LOCKED)
"""


def note(entries: Iterable[UUID]) -> None:
    """Note that these were recalled now."""
    with _lock:
        if len(_waiting) < MOST:
            _waiting.update(entries)


def store() -> int:
    """Store what was noted; gives how many entries that is."""
    with _lock:
        taken = list(_waiting)
        _waiting.clear()
    if taken:
        with connection.cursor() as cursor:
            cursor.execute(_STORE, [taken])
    return len(taken)
