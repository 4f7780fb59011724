"""How a request crosses into Django and its answer back: one hop to a thread, whatever the middleware.

Django's own ASGI handler adapts each synchronous middleware and the view with a hop and a thread of its own. Here the
whole chain is synchronous and runs in one thread of `core.bridge`; what must be awaited (a stream, an answer that comes
later) comes back as a response that the event loop finishes. Bodies are capped while they are read, and a chunked
body gets the length that it turned out to have, without which DRF would take it for an empty one.
"""

import asyncio
import io
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.signals import request_started
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from core import bridge, measures, problems, tracing
from core.errors import DomainError, Invalid, TooLarge

log = logging.getLogger(__name__)

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_SECONDS = 30
MAY_BRING_IMAGES = re.compile(r"/(chat|chat/stream|chat/completions|ag-ui/[^/]+)/?$")


class Gone(Exception):
    """The client went away."""


class Later(HttpResponse):
    """A JSON response that the event loop completes: `work` gives its status and body."""

    def __init__(self, work: Callable[[], Awaitable[tuple[int, Any]]]) -> None:
        super().__init__(content_type="application/json")
        self.work = work

    async def complete(self, path: str) -> None:
        """Wait for the answer and become it; what is raised becomes its problem, in the shape of this path."""
        try:
            status, body = await self.work()
        except Exception as error:
            told = problems.of(error)
            if told is None:
                log.exception("a request broke")
                told = problems.fault()
            status = told.status
            self["Content-Type"], body = problems.shaped(told, self.get("X-Request-Id", ""), path)
            for name, value in told.headers.items():
                self[name] = value
        self.status_code = status
        self.content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str).encode()
        self["Content-Length"] = str(len(self.content))


class Handler(ASGIHandler):
    """The ASGI application for HTTP."""

    def __init__(self) -> None:
        super(ASGIHandler, self).__init__()
        self.load_middleware(is_async=False)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with tracing.of_request(scope) as span:
            await self._answer(scope, receive, send, span)

    async def _answer(self, scope: Message, receive: Receive, send: Send, span: tracing.Span) -> None:
        """Read the request, let Django answer it, and send that."""
        counted = measures.Request(scope["method"])
        try:
            body = await read_body(scope, receive)
        except Gone:
            return
        except DomainError as error:
            told = problems.respond_to(error, None, path=scope["path"])
            await self.deliver(told, scope, receive, send, counted)
            return
        set_script_prefix(get_script_prefix(scope))
        request, refusal = self.create_request(scope, io.BytesIO(body))
        if request is None:
            told = problems.respond_to(Invalid("The path is not UTF-8."), None)
            await self.deliver(told, scope, receive, send, counted)
            return
        request.META["CONTENT_LENGTH"] = str(len(body))
        response = await bridge.in_thread(self.respond, request, scope)
        counted.find(request)
        span.rename(f"{counted.method} {counted.route}")
        span.note({"http.route": counted.route})
        await self.deliver(response, scope, receive, send, counted)
        span.note({"http.response.status_code": response.status_code})
        if response.status_code >= 500:
            span.fail(str(response.status_code))

    def respond(self, request: ASGIRequest, scope: Message) -> HttpResponseBase:
        """Middleware and view, in this thread."""
        request_started.send(sender=self.__class__, scope=scope)
        response = self.get_response(request)
        response._handler_class = self.__class__  # type: ignore[attr-defined]  # as Django's own handler does
        return response

    async def deliver(
        self, response: HttpResponseBase, scope: Message, receive: Receive, send: Send, counted: measures.Request
    ) -> None:
        """Send the response; what must be awaited is given up when the client leaves."""
        try:
            if isinstance(response, Later):
                await while_connected(response.complete(scope["path"]), receive)
            counted.answered(response.status_code)
            if isinstance(response, StreamingHttpResponse) and response.is_async:
                await while_connected(self.send_response(response, send), receive)
            elif isinstance(response, StreamingHttpResponse):
                await self.send_response(await bridge.in_thread(_whole, response), send)
            else:
                await self.send_response(response, send)
        except Gone:
            pass
        finally:
            response.close()


async def while_connected(work: Awaitable[None], receive: Receive) -> None:
    """Await the work; raises Gone, with the work cancelled and cleaned up, where the client leaves before its end."""
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        task.result()
    finally:
        for pending in (task, left):
            if not pending.done():
                pending.cancel()
        await asyncio.gather(task, left, return_exceptions=True)


async def read_body(scope: Message, receive: Receive) -> bytes:
    """The request's body; raises TooLarge over the cap, Invalid where it takes too long, Gone where it never ends."""
    # Large bodies only where a message may bring images, and from who at least claims to be somebody.
    images = MAY_BRING_IMAGES.search(scope["path"]) and any(name == b"authorization" for name, _ in scope["headers"])
    limit = settings.BODY_LIMIT_IMAGES if images else settings.BODY_LIMIT
    too_large = TooLarge(f"A body may have {limit} bytes at most.")
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if length.isdigit() and int(length) > limit:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Invalid(f"The body did not arrive within {BODY_SECONDS} seconds.") from None


def _whole(response: StreamingHttpResponse) -> HttpResponse:
    """A response that streams synchronously (a static file), read to its end."""
    whole = HttpResponse(b"".join(response), status=response.status_code, headers=response.headers)
    whole.cookies = response.cookies
    return whole
