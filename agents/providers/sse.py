"""Server-sent events out of bytes, as they come: a pure object that the wire formats over SSE share."""

LINE_LIMIT = 1_000_000


class LineTooLong(ValueError):
    """A line went over the limit and its end has not come."""


class Splitter:
    """Cuts bytes into the data of events, wherever the network cut them; names, ids and comments are dropped."""

    __slots__ = ("_data", "_rest", "_started")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._started = False

    def feed(self, received: bytes) -> list[bytes]:
        """The data of the events that these bytes complete; raises LineTooLong."""
        if self._rest:
            received = self._rest + received
        if not self._started and received:
            self._started = True
            received = received.removeprefix(b"\xef\xbb\xbf")
        held = b""
        if b"\r" in received:
            if received.endswith(b"\r"):  # the other half of a CRLF may follow
                received, held = received[:-1], b"\r"
            received = received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = received.split(b"\n")
        self._rest = lines.pop() + held
        if len(self._rest) > LINE_LIMIT:
            raise LineTooLong
        return self._events(lines)

    def end(self) -> list[bytes]:
        """The data of an event that the stream's end completes: some servers leave the last blank line out."""
        return self._events([*self._rest.rstrip(b"\r").split(b"\n"), b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                if len(line) > LINE_LIMIT:
                    raise LineTooLong
                data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return events
