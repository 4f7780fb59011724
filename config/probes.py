"""What machines ask of a web process: whether it lives (/healthz), can work (/readyz), and what it measures (/metrics).

This stands before Django and takes none of its threads. A probe comes over plain HTTP, to an address that ALLOWED_HOSTS
does not name, without a credential; and it is to be answered when all threads wait for a database that is away, or the
process has as much to do as it takes on: what comes besides is refused here.
"""

import asyncio
import hmac
import json
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import import_module
from types import FrameType

from django.conf import settings

from config import gauges
from config.beside import Lately
from config.readiness import OK, Readiness
from core import problems
from core.errors import Unavailable
from core.handler import Message, Receive, Send

MOST = 2_000  # requests at a time, streams among them: more would cost those that are answered
READY_SECONDS = 1.0  # for which an answer holds: whoever asks more often costs nothing more
METRICS_SECONDS = 5.0

Application = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    body: bytes
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Probes:
    """The application with these paths before it.

    SIGTERM makes this process unready at first, and reaches the server only `drain_seconds` later: so a balancer sends
    nothing new before the server stops to listen. A second SIGTERM is heard at once.
    """

    def __init__(self, application: Application, drain_seconds: float = 0.0) -> None:
        self._application = application
        self._drain_seconds = drain_seconds
        self._draining = False
        self._under_way = 0
        self._parts = Lately(Readiness().look, READY_SECONDS)
        self._measured = Lately(gauges.read, METRICS_SECONDS)
        self._paths = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a probe, or let the application answer."""
        asked = self._paths.get(scope["path"].rstrip("/"))
        if asked is None and self._under_way < MOST:
            self._under_way += 1
            try:
                await self._application(scope, receive, send)
            finally:
                self._under_way -= 1
            return
        if self._drain_seconds:
            self._heed_sigterm()
        if asked is None:
            reply = _busy(scope["path"])
        elif scope["method"] in ("GET", "HEAD"):
            reply = await asked(dict(scope["headers"]))
        else:
            reply = _plain(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
        headers = {"Content-Type": reply.media, "Content-Length": str(len(reply.body)), "Cache-Control": "no-store"}
        named = [(name.lower().encode(), value.encode()) for name, value in {**headers, **reply.headers}.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": named})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def _healthz(self, headers: Mapping[bytes, bytes]) -> Reply:
        """The process lives: its loop turns."""
        return _told(HTTPStatus.OK, {"status": "ok"})

    async def _readyz(self, headers: Mapping[bytes, bytes]) -> Reply:
        """All that it needs answers; else which part does not."""
        if self._draining:
            return _told(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "draining"})
        parts = await self._parts.get()
        if all(part == OK for part in parts.values()):
            return _told(HTTPStatus.OK, {"status": "ready", "parts": parts})
        return _told(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unready", "parts": parts})

    async def _metrics(self, headers: Mapping[bytes, bytes]) -> Reply:
        """What is measured, for who brings the token; without a token there is no such page.

        To trust whoever comes from this machine would let the world in by a proxy that runs on it.
        """
        token = settings.METRICS_TOKEN
        if not token:
            return _plain(HTTPStatus.NOT_FOUND)
        scheme, _, brought = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(brought.strip(), token.encode()):
            return _plain(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        page = import_module("config.exposition").page
        values, counted = await self._measured.get()
        media, body = page(values, counted, headers.get(b"accept", b"").decode("latin-1"))
        return Reply(HTTPStatus.OK, body, media)

    def _heed_sigterm(self) -> None:
        """Hear of SIGTERM before the server does: from the first probe on, because it does not listen before."""
        seconds, self._drain_seconds = self._drain_seconds, 0.0
        stop, loop = signal.getsignal(signal.SIGTERM), asyncio.get_running_loop()
        if not callable(stop) or threading.current_thread() is not threading.main_thread():
            return

        def drain(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, stop)
            self._draining = True
            loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)

        signal.signal(signal.SIGTERM, drain)


def _told(status: HTTPStatus, body: object) -> Reply:
    return Reply(status, json.dumps(body).encode())


def _busy(path: str) -> Reply:
    """The refusal of one request more, as clients of this path read errors."""
    error = Unavailable(
        "This process answers as many requests as it can; try again in a moment.", headers={"Retry-After": "1"}
    )
    answer = problems.respond_to(error, None, path=path)
    return Reply(answer.status_code, answer.content, answer["Content-Type"], dict(answer.items()))


def _plain(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Reply:
    """A refusal, which says no more than its status."""
    return Reply(status, json.dumps({"status": status.value, "title": status.phrase}).encode(), headers=headers or {})
