"""The load generator: `python -m benchmarks.load` reads a round from each line and answers with a line.

While a round runs each arriving piece is only kept with its time; it is parsed when the round is over, so
that the generator takes little of the CPU that it shares with what is measured.
"""

import asyncio
import gc
import itertools
import json
import sys
import time
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks import wire
from benchmarks.answers import Exchange, Result, Round, summary

LAST_CHUNK = b"\r\n0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection; carries one exchange after another."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.ended: asyncio.Future[None] | None = None
        self.counted = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, request: bytes, exchange: Exchange) -> asyncio.Future[None]:
        """Send a request; the future is done when its answer is whole or the connection is lost."""
        self.exchange, self.ended = exchange, asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.ended

    def close(self) -> None:
        """Close it at once; what has not come by now will not be waited for."""
        self.exchange = None
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        exchange.pieces.append((time.perf_counter(), data))
        if len(exchange.pieces) == 1:
            self.counted = b"chunked" not in data
        if self.counted or data.endswith(LAST_CHUNK) or len(data) < len(LAST_CHUNK):
            self._end_if_whole(exchange)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.exchange is not None:
            self._end(self.exchange, "the connection was closed in mid-answer")

    def _end_if_whole(self, exchange: Exchange) -> None:
        response = wire.Response()
        try:
            for _, data in exchange.pieces:
                response.feed(data)
        except wire.BadWire as error:
            self._end(exchange, f"malformed HTTP: {error}")
        if response.complete:
            self._end(exchange)

    def _end(self, exchange: Exchange, failure: str = "") -> None:
        exchange.failure, self.exchange = failure, None
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)


async def send_all(round_: Round) -> list[Exchange]:
    """Send a round and give its exchanges, those too that failed or did not end in time."""
    address, requests = urlsplit(round_.url), [round_.request(number) for number in range(max(1, len(round_.names)))]
    host, port = address.hostname or "", address.port or 80
    loop, exchanges, open_ = asyncio.get_running_loop(), list[Exchange](), list[Connection]()
    sent = itertools.cycle(requests)

    async def lane(share: int) -> None:
        connection = None
        for _ in range(share):
            exchange = Exchange(time.perf_counter(), failure="not answered in time")
            exchanges.append(exchange)
            try:
                if connection is None or connection.transport.is_closing():
                    _, connection = await loop.create_connection(Connection, host, port)
                    open_.append(connection)
            except OSError as error:
                exchange.failure = f"no connection: {error.strerror or error}"
                continue
            await connection.send(next(sent), exchange)
            if round_.stream:
                connection.close()

    share, more = divmod(round_.total, round_.concurrency)
    lanes = [asyncio.create_task(lane(share + (index < more))) for index in range(round_.concurrency)]
    _, late = await asyncio.wait(lanes, timeout=round_.limit)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for connection in open_:
        connection.close()
    await asyncio.sleep(0)  # in which they close
    return exchanges


def run(round_: Round) -> Result:
    """Send a round in a loop of its own and sum it up."""
    gc.collect()
    gc.disable()
    before = time.process_time()
    exchanges = uvloop.run(send_all(round_))
    cpu = time.process_time() - before
    gc.enable()
    return summary(exchanges, round_, cpu=cpu)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asdict(run(Round(**json.loads(line))))), flush=True)
