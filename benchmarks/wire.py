"""Exact, incremental readers of what a server sends: HTTP/1.1 responses and server-sent events."""

from collections.abc import Iterator
from dataclasses import dataclass


class BadWire(ValueError):
    """The bytes are not what the format allows, or they stop too early."""


class Response:
    """One HTTP/1.1 response with a chunked or counted body, fed as bytes arrive."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self._buffer = b""
        self._left: int | None = None  # bytes to come of the counted body
        self._chunked = False

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in this piece of the response; raises BadWire on anything malformed."""
        self._buffer += data
        if not self.status and not self._read_head():
            return b""
        return self._read_chunks() if self._chunked else self._read_counted()

    def _read_head(self) -> bool:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        start, *lines = head.decode("latin-1").split("\r\n")
        version, _, status = start.partition(" ")
        if version != "HTTP/1.1" or not status[:3].isdigit():
            raise BadWire(f"not a status line: {start!r}")
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise BadWire(f"not a header: {line!r}")
            self.headers[name.lower()] = value.strip()
        self.status, self._buffer = int(status[:3]), rest
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = int(self.headers.get("content-length", "0"))
        return True

    def _read_counted(self) -> bytes:
        body, self._buffer = self._buffer, b""
        self._left = (self._left or 0) - len(body)
        if self._left < 0:
            raise BadWire("the body is longer than its content-length")
        self.complete = self._left == 0
        return body

    def _read_chunks(self) -> bytes:
        body, buffer, start = [], self._buffer, 0
        while not self.complete:
            line = buffer.find(b"\r\n", start)
            if line < 0:
                break
            size = int(buffer[start:line].split(b";")[0], 16)
            end = line + 2 + size
            if len(buffer) < end + 2:
                break
            if buffer[end : end + 2] != b"\r\n":
                raise BadWire("a chunk does not end where its size says")
            body.append(buffer[line + 2 : end])
            start, self.complete = end + 2, size == 0
        self._buffer = buffer[start:]
        if self.complete and self._buffer:
            raise BadWire("bytes after the last chunk")
        return b"".join(body)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `name` is `message` where the stream does not say."""

    name: str
    data: str
    id: str | None = None


class Events:
    """Splits a body into server-sent events, fed as bytes arrive."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that this piece completes; comments and keep-alives give none."""
        *frames, self._buffer = (self._buffer + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for frame in frames:
            event = _event(frame.decode())
            if event:
                yield event

    @property
    def rest(self) -> bytes:
        """What came after the last complete event: empty at the end of a whole stream."""
        return self._buffer


def _event(frame: str) -> Event | None:
    name, identifier, data = "message", None, []
    for line in frame.split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            identifier = value
        elif field == "data":
            data.append(value)
    return Event(name, "\n".join(data), identifier) if data else None
