"""Threads for what runs through the bridge in a test's own process; they leave no connection to the database behind."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connections

from core import bridge

THREADS = 4


@contextmanager
def bridged() -> Iterator[None]:
    """The bridge has threads of its own for as long as the block lasts."""
    pool, together = ThreadPoolExecutor(THREADS), threading.Barrier(THREADS)

    def leave(_: int) -> None:
        together.wait(20)
        connections.close_all()

    with pytest.MonkeyPatch.context() as patch, pool:
        patch.setattr(bridge, "_pools", {"bridge": pool, "slow": pool})
        yield
        list(pool.map(leave, range(THREADS)))
