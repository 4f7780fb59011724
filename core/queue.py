"""Waking a worker: a task's name and a row's id, sent after the commit, and never more than that.

A doorbell may be lost or rung twice; the row is the truth and a sweep finds it. So ringing never fails a request.
While a ring is still unanswered another is not sent: the one who answers takes every row that is ready.
"""

import logging
from collections.abc import Callable

from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from core import commits, valkey

log = logging.getLogger(__name__)

RINGING_MS = 1000
_names: set[str] = set()


def names() -> frozenset[str]:
    """The task names that services may ring, for the system check that each exists."""
    return frozenset(_names)


def doorbell(name: str) -> Callable[[object], None]:
    """A function that rings the task of this name for a row, once the transaction at hand is committed."""
    _names.add(name)

    def ring_on_commit(row_id: object) -> None:
        commits.after(ring, name, row_id)

    return ring_on_commit


def ring(name: str, row_id: object) -> None:
    """Send the task now, unless one is on its way; a broker that is down is logged and left to the sweep."""
    try:
        if not valkey.client().set(_flag(name), "1", nx=True, px=RINGING_MS):
            return
        current_app.send_task(name, args=[str(row_id)], retry=False, ignore_result=True)
    except (OperationalError, RedisError, OSError) as error:
        log.warning(
            "the doorbell could not be rung; the sweep will find the row",
            extra={"task": name, "error": str(error)},
        )


def answered(name: str) -> None:
    """Say that the ring was heard, before looking for rows: a row committed after this rings again."""
    try:
        valkey.client().delete(_flag(name))
    except (RedisError, OSError):
        log.debug("the doorbell's flag stays until it lapses")


def _flag(name: str) -> str:
    return f"bell:{name}"
