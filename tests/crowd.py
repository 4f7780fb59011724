"""Calls of services at the same instant, as several web processes make them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection

from core.errors import DomainError


@contextmanager
def crowd(size: int) -> Iterator[Callable[[list[Callable[[], Any]]], list[Any]]]:
    """Runs calls at the same instant, each in a thread with a connection of its own; gives what they say or refuse."""
    threads = ThreadPoolExecutor(size)
    barrier: threading.Barrier

    def one(call: Callable[[], Any]) -> Any:
        connection.ensure_connection()
        barrier.wait()
        try:
            return call()
        except DomainError as error:
            return error.code

    def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
        nonlocal barrier
        barrier = threading.Barrier(len(calls))
        return list(threads.map(one, calls))

    try:
        yield at_once
    finally:
        barrier = threading.Barrier(size)

        def leave(_: int) -> None:
            connection.close()
            barrier.wait()

        list(threads.map(leave, range(size)))
        threads.shutdown()
