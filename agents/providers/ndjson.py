"""Newline-delimited JSON out of bytes, as they come: a pure object, with the same bounds as that of `sse`."""

from agents.providers.sse import LINE_LIMIT, LineTooLong


class Splitter:
    """Cuts bytes into lines, wherever the network cut them; empty ones are dropped."""

    __slots__ = ("_rest", "_started")

    def __init__(self) -> None:
        self._rest = b""
        self._started = False

    def feed(self, received: bytes) -> list[bytes]:
        """The lines that these bytes complete; raises LineTooLong."""
        if self._rest:
            received = self._rest + received
        if not self._started and received:
            self._started = True
            received = received.removeprefix(b"\xef\xbb\xbf")
        lines = received.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_LIMIT or any(len(line) > LINE_LIMIT for line in lines):
            raise LineTooLong
        return [line for line in lines if line and not line.isspace()]

    def end(self) -> list[bytes]:
        """The line that the stream's end completes: some servers leave the last line end out."""
        rest, self._rest = self._rest, b""
        return [rest] if rest.strip() else []
