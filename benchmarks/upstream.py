"""A fake OpenAI-compatible model server that costs next to nothing: `python -m benchmarks.upstream [PORT]`.

The model's name says what it streams: `t100-i20` is 100 tokens, one every 20 ms; an interval of 0 sends all
at once. It shares the machine with what is measured, so it writes frames made beforehand on an asyncio
Protocol, and one timer serves all streams of an interval.
"""

import asyncio
import gc
import json
import re
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import uvloop

MODEL = re.compile(r"t(\d{1,6})-i(\d{1,5})")
LISTED = [f"t{tokens}-i{interval}" for tokens in (20, 100, 400) for interval in (0, 20)]
CLOSE_TOGETHER = 0.0005  # seconds: streams due within it are served by one wake-up


def answer(tokens: int) -> str:
    """The exact text that a model of so many tokens says."""
    return "".join(f"tok {index} " for index in range(tokens))


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that one model says, as bytes ready for the wire, and the seconds between two tokens."""

    head: bytes
    tokens: list[bytes]
    tail: bytes
    whole: bytes
    interval: float


def script(model: str) -> Script | None:
    """The script that a model's name asks for, or None where the name does not fit."""
    found = MODEL.fullmatch(model)
    if not found:
        return None
    count, interval = int(found[1]), int(found[2]) / 1000
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": 10 + count}

    def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _http_chunk(b"data: %s\n\n" % _compact({**frame, "choices": [choice]}))

    message = {"role": "assistant", "content": answer(count)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return Script(
        head=head + chunk({"role": "assistant", "content": ""}),
        tokens=[chunk({"content": f"tok {index} "}) for index in range(count)],
        tail=chunk({}, "stop")
        + _http_chunk(b"data: %s\n\n" % _compact({**frame, "choices": [], "usage": usage}))
        + _http_chunk(b"data: [DONE]\n\n")
        + b"0\r\n\r\n",
        whole=_json_response(200, {**frame, "object": "chat.completion", "choices": [choice], "usage": usage}),
        interval=interval,
    )


@dataclass(slots=True)
class Beat:
    """All streams of one interval, served in the order in which they fall due."""

    loop: asyncio.AbstractEventLoop
    interval: float
    waiting: deque[tuple[float, "Connection"]] = field(default_factory=deque)

    def join(self, connection: "Connection") -> None:
        """Serve this connection's script, its first token one interval from now."""
        self.waiting.append((self.loop.time() + self.interval, connection))
        if len(self.waiting) == 1:
            self._sleep()

    def _sleep(self) -> None:
        self.loop.call_at(self.waiting[0][0], self._serve)

    def _serve(self) -> None:
        waiting, limit = self.waiting, self.loop.time() + CLOSE_TOGETHER
        # A stream that is late is served again at once: the upstream catches up rather than slowing down.
        while waiting and waiting[0][0] <= limit:
            due, connection = waiting.popleft()
            if connection.say_next():
                waiting.append((due + self.interval, connection))
        if waiting:
            self._sleep()


class Upstream:
    """What all connections share: the scripts by model and the beats by interval."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.scripts: dict[str, Script | None] = {}
        self.beats: dict[float, Beat] = {}

    def script(self, model: str) -> Script | None:
        """The model's script, made once."""
        if model not in self.scripts:
            self.scripts[model] = script(model)
        return self.scripts[model]

    def beat(self, interval: float) -> Beat:
        """The one beat of this interval."""
        return self.beats.setdefault(interval, Beat(self.loop, interval))


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection without pipelining: reads a request and plays the script of its model."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.received = b""
        self.playing: Script | None = None
        self.said = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.playing = None

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._next_request()

    def say_next(self) -> bool:
        """Write the next token; False when that was the last one or the client has left."""
        playing = self.playing
        if playing is None:
            return False
        if self.said == len(playing.tokens):
            self.playing = None
            self.transport.write(playing.tail)
            return False
        self.transport.write(playing.tokens[self.said])
        self.said += 1
        return True

    def _next_request(self) -> None:
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if not length:  # no caller of this server sends a chunked body
            self.received = rest
            models = [{"id": model, "object": "model", "owned_by": "benchmark"} for model in LISTED]
            self.transport.write(_json_response(200, {"object": "list", "data": models}))
            return
        size = int(length[1])
        if len(rest) < size:
            return
        self.received = rest[size:]
        self._play(json.loads(rest[:size]))

    def _play(self, request: dict[str, Any]) -> None:
        playing = self.upstream.script(str(request.get("model")))
        if playing is None:
            error = {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}
            self.transport.write(_json_response(404, {"error": error}))
        elif not request.get("stream"):
            self.upstream.loop.call_later(playing.interval, self.transport.write, playing.whole)
        elif not playing.interval:
            self.transport.write(playing.head + b"".join(playing.tokens) + playing.tail)
        else:
            self.playing, self.said = playing, 0
            self.transport.write(playing.head)
            self.upstream.beat(playing.interval).join(self)


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _json_response(status: int, value: object) -> bytes:
    body = _compact(value)
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


async def serve(port: int = 0) -> None:
    """Serve on loopback until killed; prints the port in its first line."""
    loop = asyncio.get_running_loop()
    upstream = Upstream(loop)
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a pause would be read as a late token
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
