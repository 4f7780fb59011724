"""The one bridge between the synchronous world (services, models) and the asynchronous one (streams, loops).

Synchronous work runs in a fixed pool of threads that live as long as the process. Each keeps its own database
connection, so a process holds at most as many connections as it has threads, however many streams are open, and no
stream holds one between two queries. A connection that the server has closed is found by looking at its socket, not
by a query.
"""

import asyncio
import contextvars
import select
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import connection

P = ParamSpec("P")
T = TypeVar("T")

_pools: dict[str, ThreadPoolExecutor] = {}


def pool(name: str = "bridge", size: int | None = None) -> ThreadPoolExecutor:
    """This process's threads for synchronous work, by default those that every request and every claim shares."""
    if name not in _pools:
        _pools[name] = ThreadPoolExecutor(size or settings.WEB_THREADS, thread_name_prefix=name)
    return _pools[name]


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result, run in a thread of the pool with a sound database connection."""
    return await _run(pool(), function, *args, **kwargs)


async def in_slow_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `in_thread`, for what may take its time, such as tools: it keeps nobody else waiting for a thread."""
    return await _run(pool("slow", settings.TOOL_THREADS), function, *args, **kwargs)


async def _run(threads: ThreadPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(
        threads, lambda: context.run(lambda: guarded(function, *args, **kwargs))
    )


def guarded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result, with a dead connection dropped before it and a broken or unfinished one after it."""
    drop_dead_connection()
    try:
        return function(*args, **kwargs)
    finally:
        connection.close_if_unusable_or_obsolete()


def drop_dead_connection() -> None:
    """Close this thread's connection where the server has closed it: an idle socket that is readable says so."""
    raw = connection.connection
    if raw is None:
        return
    if raw.closed:
        connection.close()
        return
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if poll.poll(0):
        connection.close()
