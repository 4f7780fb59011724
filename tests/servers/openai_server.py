"""An OpenAI-compatible server over real HTTP, which can misbehave in every way that real ones were seen to.

The model's name says what happens: `t<N>-i<MS>` speaks N tokens MS milliseconds apart, any other is a name of
`SCRIPTS` (with arguments after colons, as in `status:429:3`). Each request is recorded, with the time at which its
client left early if it did.
"""

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TOKENS = re.compile(r"t(\d+)-i(\d+)$")
TEXT = "Grüße, 世界! 🙂 Done."


@dataclass
class Request:
    """One request as the server saw it; times are of the monotonic clock."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict
    at: float = field(default_factory=time.monotonic)
    left_at: float | None = None
    ended_at: float | None = None


class Wire:
    """One exchange: what the scripts write with."""

    def __init__(self, server: "OpenAIServer", request: Request, writer: asyncio.StreamWriter) -> None:
        self.server, self.request, self.writer = server, request, writer
        self.keep = True

    async def head(self, status: int = 200, media: str = "text/event-stream", **headers: str) -> None:
        """Status line and headers of a chunked answer."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {media}", "Transfer-Encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self.writer.drain()

    async def write(self, data: bytes, pause: float = 0.0) -> None:
        """One piece of the body, in a packet of its own where a pause follows."""
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()
        if pause:
            await asyncio.sleep(pause)

    async def end(self) -> None:
        """The end of a chunked body."""
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def whole(self, status: int, body: bytes, media: str = "application/json", **headers: str) -> None:
        """A plain answer with its length."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {media}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        await self.writer.drain()

    async def say(self, delta: dict, finish: str | None = None, pause: float = 0.0) -> None:
        """One chunk of an answer."""
        await self.write(event(delta, finish), pause)

    async def finish(self, tokens: int = 3) -> None:
        """The proper end of an answer: the reason, usage if it was asked for, and DONE."""
        await self.say({}, "stop")
        if (self.request.body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
            await self.write(data({"choices": [], "usage": usage}))
        await self.write(b"data: [DONE]\n\n")
        await self.end()

    def drop(self) -> None:
        """Cut the connection."""
        self.keep = False
        self.writer.close()


def data(value: object) -> bytes:
    """An SSE event with this JSON."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n\n"


def event(delta: dict, finish: str | None = None) -> bytes:
    """A chunk of an answer as an SSE event."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    )


def error(message: str, code: object = None, kind: str = "invalid_request_error") -> bytes:
    """OpenAI's shape of an error."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


async def tokens(wire: Wire, count: int, interval: float) -> None:
    await wire.head()
    await wire.say({"role": "assistant", "content": ""})
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    for number in range(count):
        if interval:
            next_at += interval
            await asyncio.sleep(next_at - loop.time())
        await wire.say({"content": f"tok {number} "})
    await wire.finish(count)


async def split_bytes(wire: Wire) -> None:
    """Every byte in a packet of its own: characters, lines and events all cut."""
    await wire.head()
    for byte in event({"content": TEXT}):
        await wire.write(bytes([byte]), 0.0005)
    await wire.finish()


async def crlf(wire: Wire) -> None:
    """CRLF line ends, cut between CR and LF, a byte order mark and several data lines."""
    await wire.head()
    await wire.write(b"\xef\xbb\xbf")
    await wire.write(event({"content": "one "}).replace(b"\n\n", b"\r"), 0.01)
    await wire.write(b"\n\r\n", 0.01)
    await wire.write(b'data: {"choices":\r\ndata: [{"delta": {"content": "two"}}]}\r\n\r\n')
    await wire.finish()


async def pings(wire: Wire) -> None:
    """Comments, other fields and empty events between the tokens."""
    await wire.head()
    await wire.write(b": PROCESSING\n\nretry: 3\nid: 7\nevent: ping\n\n")
    await wire.write(b":\n\nevent: message\n" + event({"content": "ping"}) + b'data: {"type": "ping"}\n\n')
    await wire.finish()


async def ping_forever(wire: Wire) -> None:
    """Comments that never become a token."""
    await wire.head()
    while True:
        await wire.write(b": PROCESSING\n\n", 0.02)


async def cut(wire: Wire, after: str = "2") -> None:
    """The connection ends in the middle of the answer."""
    await wire.head()
    for number in range(int(after)):
        await wire.say({"content": f"tok {number} "}, pause=0.02)
    wire.drop()


async def ends_early(wire: Wire) -> None:
    """A body that ends properly though the answer has not."""
    await wire.head()
    await wire.say({"content": "half"})
    await wire.end()


async def no_done(wire: Wire) -> None:
    """The answer is complete, [DONE], usage and the last blank line never come."""
    await wire.head()
    await wire.write(event({"content": "all of it"}) + event({}, "stop").rstrip(b"\n"))
    await wire.end()


async def cut_after_finish(wire: Wire) -> None:
    """The connection breaks once the model has finished."""
    await wire.head()
    await wire.write(event({"content": "all of it"}) + event({}, "stop"), 0.02)
    wire.drop()


async def hang_after_finish(wire: Wire) -> None:
    """The model has finished, and the server keeps the connection open in silence."""
    await wire.head()
    await wire.write(event({"content": "all of it"}) + event({}, "stop"), 3600)


async def malformed(wire: Wire) -> None:
    await wire.head()
    await wire.say({"content": "good "}, pause=0.01)
    await wire.write(b'data: {"choices": [{"delta": {"cont\n\n')
    await wire.finish()


async def wrong_types(wire: Wire) -> None:
    await wire.head()
    await wire.write(event({"content": "good "}) + data({"choices": [{"delta": {"content": 7}}]}))
    await wire.finish()


async def error_event(wire: Wire, code: str = "", words: str = "the GPU is on fire") -> None:
    """An error object in the stream, in the same packet as the text before it."""
    await wire.head()
    await wire.write(
        event({"content": "so far "}) + data({"error": {"message": words, "code": code or None}})
    )
    await wire.end()


async def error_first(wire: Wire, code: str = "") -> None:
    """A stream that is an error from the start."""
    await wire.head()
    await wire.write(data({"error": {"message": "no", "code": int(code) if code.isdecimal() else code}}))
    await wire.end()


async def status(wire: Wire, code: str, retry_after: str = "") -> None:
    """A refusal with a JSON body."""
    extra = {"Retry_After": retry_after} if retry_after else {}
    await wire.whole(int(code), error(f"refused with {code}", None), **extra)


async def status_html(wire: Wire, code: str) -> None:
    """A refusal by some proxy."""
    await wire.whole(int(code), b"<html><h1>Bad gateway</h1></html>", "text/html")


async def flaky(wire: Wire, failures: str, code: str = "503", retry_after: str = "") -> None:
    """So many refusals, then an answer."""
    asked = sum(r.body.get("model") == wire.request.body["model"] for r in wire.server.requests)
    if asked <= int(failures):
        await status(wire, code, retry_after)
    else:
        await tokens(wire, 2, 0)


async def missing(wire: Wire) -> None:
    await wire.whole(404, error("The model `missing` does not exist", "model_not_found"))


async def quota(wire: Wire) -> None:
    await wire.whole(429, error("You exceeded your current quota", "insufficient_quota"))


async def echo_key(wire: Wire) -> None:
    """A refusal that repeats the key, and keys like it, with line breaks and control characters."""
    sent = wire.request.headers.get("authorization", "")
    await wire.whole(
        401, error(f"Incorrect API key:\n{sent}\x07 or sk-proj-abcdefgh1234 given", "invalid_api_key")
    )


async def huge_error(wire: Wire) -> None:
    await wire.whole(400, error("x" * 30_000))


async def endless_error(wire: Wire) -> None:
    """A refusal whose body never ends."""
    await wire.head(500, "application/json")
    while True:
        await wire.write(b"x" * 8192, 0.001)


async def redirect(wire: Wire) -> None:
    await wire.whole(307, b"", Location=f"{wire.server.base_url}/elsewhere")


async def slow_head(wire: Wire, seconds: str) -> None:
    """Nothing at all for a while."""
    await asyncio.sleep(float(seconds))
    await tokens(wire, 1, 0)


async def slow_first(wire: Wire, seconds: str) -> None:
    """The head comes, the first token takes its time."""
    await wire.head()
    await wire.say({"role": "assistant", "content": ""}, pause=float(seconds))
    await wire.say({"content": "late"})
    await wire.finish()


async def stall(wire: Wire, seconds: str = "3600") -> None:
    await wire.head()
    await wire.say({"content": "one "}, pause=float(seconds))
    await wire.say({"content": "two"})
    await wire.finish()


async def giant(wire: Wire, size: str) -> None:
    """One token of so many characters."""
    await wire.head()
    await wire.say({"content": "g" * int(size)})
    await wire.finish()


async def endless(wire: Wire) -> None:
    """Tokens as fast as they are read."""
    await wire.head()
    while True:
        await wire.say({"content": "x" * 1000})


async def endless_line(wire: Wire) -> None:
    """A line that never ends."""
    await wire.head()
    await wire.write(event({"content": "so far "}) + b"data: ")
    while True:
        await wire.write(b"x" * 65_536)


async def reasoning(wire: Wire, name: str = "reasoning_content") -> None:
    await wire.head()
    for word in ("Let ", "me ", "think. "):
        await wire.say({name: word, "content": None})
    await wire.say({"content": "It is "})
    await wire.say({"content": "42."})
    await wire.finish()


async def tool_calls(wire: Wire, text: str = "") -> None:
    """Fragments of a call that nobody offered."""
    await wire.head()
    if text:
        await wire.say({"content": text})
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    await wire.say({"tool_calls": [call]})
    await wire.say({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]})
    await wire.say({}, "tool_calls")
    await wire.write(b"data: [DONE]\n\n")
    await wire.end()


async def no_usage(wire: Wire) -> None:
    await wire.head()
    await wire.write(event({"content": "free"}) + event({}, "stop") + b"data: [DONE]\n\n")
    await wire.end()


async def ends_with(wire: Wire, reason: str) -> None:
    await wire.head()
    await wire.write(event({"content": "cut off"}) + event({}, reason) + b"data: [DONE]\n\n")
    await wire.end()


async def no_stream_options(wire: Wire) -> None:
    """A server that refuses an option that it does not know."""
    if "stream_options" in wire.request.body:
        await wire.whole(422, error("extra fields not permitted: stream_options"))
    else:
        await tokens(wire, 2, 0)


async def not_streamed(wire: Wire) -> None:
    """The whole answer in one JSON, although a stream was asked for."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    await wire.whole(200, json.dumps({"choices": [choice], "usage": usage}).encode())


async def web_page(wire: Wire) -> None:
    await wire.whole(200, b"<html>Welcome!</html>", "text/html; charset=utf-8")


async def odd_text(wire: Wire) -> None:
    """NUL, halves of surrogate pairs, line separators and the like in the text."""
    await wire.head()
    await wire.write(
        b'data: {"choices":[{"delta":{"content":"a\\u0000b\\ud83dc\\ude42d\\ud83d\\ude42\\u2028e"}}]}\n\n'
    )
    await wire.finish()


async def not_http(wire: Wire) -> None:
    wire.writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await wire.writer.drain()
    wire.drop()


async def hang_up(wire: Wire) -> None:
    """The connection ends before any answer."""
    wire.drop()


SCRIPTS: dict[str, Callable[..., Awaitable[None]]] = {
    script.__name__.replace("_", "-"): script
    for script in (
        split_bytes, crlf, pings, ping_forever, cut, ends_early, no_done, cut_after_finish, hang_after_finish, malformed,
        wrong_types, error_event, error_first, status, status_html, flaky, missing, quota, echo_key, huge_error,
        endless_error, redirect, slow_head, slow_first, stall, giant, endless, endless_line, reasoning, tool_calls,
        no_usage, ends_with, no_stream_options, not_streamed, web_page, odd_text, not_http, hang_up,
    )
}  # fmt: skip


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
        self._loop.close()

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hush(self) -> None:
        if self._server:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        try:
            async for request in _requests(reader):
                self.requests.append(request)
                if not await self._answer(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.open_connections -= 1
            writer.close()

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
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


def wait_until(true: Callable[[], object], seconds: float = 5.0) -> None:
    """Return as soon as it is true; fails where it does not become so in time."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not become true in time"
        time.sleep(0.005)
