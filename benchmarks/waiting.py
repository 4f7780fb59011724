"""An HTTP API whose every answer takes 100 ms and next to no CPU: `python -m benchmarks.waiting [MS]`.

It says its port, then for each line that it is told how many requests it had since the line before, and how many of
them were under way at once at most, as JSON.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

BODY = b'{"found": "nothing new"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Api:
    """Counts the requests of all connections."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = self.now = self.most = 0

    def begin(self) -> None:
        """A request has come."""
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)

    def told(self) -> dict[str, int]:
        """What was counted since this was asked before."""
        seen = {"asked": self.asked, "most": self.most}
        self.asked, self.most = 0, self.now
        return seen


class Connection(asyncio.Protocol):
    """One connection, which brings GET requests one after another."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are of no class of asyncio

    def data_received(self, data: bytes) -> None:
        """Each request that is complete is answered when its time is over."""
        *heads, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        for _ in heads:
            self._api.begin()
            asyncio.get_running_loop().call_later(self._api.seconds, self._answer)

    def _answer(self) -> None:
        self._api.now -= 1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


async def main() -> None:
    """Serve until nobody listens any more."""
    api = Api(float(sys.argv[1] if len(sys.argv) > 1 else "100") / 1000)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(api), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(api.told()), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
