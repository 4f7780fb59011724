"""An OpenAI-compatible server over real HTTP, which can misbehave in every way that real ones were seen to.

The model's name says what happens: `t<N>-i<MS>` speaks N tokens MS milliseconds apart, any other is a name of
`openai_scripts.SCRIPTS` (with arguments after colons, as in `status:429:3`). Each request is recorded, with the time at
which its client left early if it did.
"""

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from tests.servers.openai_scripts import SCRIPTS, tokens
from tests.servers.openai_wire import Request, Wire, error

TOKENS = re.compile(r"t(\d+)-i(\d+)$")


class OpenAIServer:
    """The server, on a loop in a thread of its own; `models` is what it lists, None where it has no list."""

    def __init__(self, models: list[str] | None = None) -> None:
        self.models: list[str] | None = ["t50-i20", "t5-i0"] if models is None else models
        self.models_script: Callable[[Wire], Awaitable[None]] | None = None
        self.requests: list[Request] = []
        self.connections = 0
        self.open_connections = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Request]:
        """The requests for an answer, in order."""
        return [request for request in self.requests if request.path.endswith("/chat/completions")]

    def start(self, port: int = 0) -> "OpenAIServer":
        """Listen, on any free port or on the one named."""
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(port), self._loop).result(10)
        return self

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        asyncio.run_coroutine_threadsafe(self._hush(), self._loop).result(10)

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hush(self) -> None:
        server, self._server = self._server, None
        if server:
            for listening in server.sockets:  # asyncio loses a connection that it accepts while its server closes
                self._loop.remove_reader(listening.fileno())
            await asyncio.sleep(0.01)
            server.close()
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # connections are lost a step after they are aborted

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._server is None:
            writer.transport.abort()
            return
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        try:
            async for request in _requests(reader):
                self.requests.append(request)
                if not await self._answer(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            self.open_connections -= 1
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Play the script for the request, and see whether its client leaves meanwhile."""
        wire = Wire(self, request, writer)
        playing = asyncio.ensure_future(self._play(wire))
        leaving = asyncio.ensure_future(reader.read(1))  # nothing is pipelined here: a byte, or the end
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                request.left_at = time.monotonic()
                return False
            if isinstance(playing.exception(), ConnectionError):
                request.left_at = time.monotonic()
                return False
            playing.result()
            request.ended_at = time.monotonic()
            if not wire.keep:
                return False
            first = await leaving
            if first:
                reader._buffer[:0] = first  # type: ignore[attr-defined]
            return bool(first)
        finally:
            for part in (playing, leaving):
                part.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)

    async def _play(self, wire: Wire) -> None:
        if wire.request.path.endswith("/models"):
            if self.models_script:
                await self.models_script(wire)
            elif self.models is None:
                await wire.whole(404, b"404 page not found", "text/plain")
            else:
                listed = [{"id": name, "object": "model"} for name in self.models]
                await wire.whole(200, json.dumps({"object": "list", "data": listed}).encode())
            return
        model = str(wire.request.body.get("model"))
        if match := TOKENS.match(model):
            await tokens(wire, int(match[1]), int(match[2]) / 1000)
            return
        name, *arguments = model.split(":")
        if script := SCRIPTS.get(name):
            await script(wire, *arguments)
        else:
            await wire.whole(404, error(f"The model `{model}` does not exist", "model_not_found"))


async def _requests(reader: asyncio.StreamReader) -> AsyncGenerator[Request]:
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return
        method, path, _ = head[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        yield Request(method, path, headers, json.loads(raw) if raw else {})


@contextmanager
def running(models: list[str] | None = None) -> Iterator[OpenAIServer]:
    """A server for as long as the block lasts."""
    server = OpenAIServer(models).start()
    try:
        yield server
    finally:
        server.close()


def wait_until(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Return as soon as it is true; fails where it does not become so in time."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not become true in time"
        time.sleep(0.005)
