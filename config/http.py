"""uvicorn's HTTP protocol with an end to what a client may send, or take its time with, before a request is one."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 65_536  # bytes; one read of the socket may bring more, and is no danger
HEAD_SECONDS = 15.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Protocol(HttpToolsProtocol):
    """Closes a connection whose request line, headers or trailers are too long, or whose head does not come.

    The parser hands a header over when it is whole, and copies what it has with each piece that comes: of what it has
    not handed over yet, it may hold this much.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = 0  # bytes since the parser last handed something over that is not kept
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and has its time to ask."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless it holds too much."""
        if self._in_head and self._head_timer is None:
            self._await_head()
        self._held += len(data)
        super().data_received(data)
        if self._held > HEAD_LIMIT and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._held = 0
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body came; how much of it is kept is the application's to say."""
        self._held = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; another may follow."""
        self._held = 0
        self._in_head = True
        super().on_message_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # it is being answered: what follows the request can wait
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
