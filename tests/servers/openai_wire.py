"""One exchange of the OpenAI-compatible test server, and the shapes of what it sends."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers.openai_server import OpenAIServer


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

    def __init__(self, server: OpenAIServer, request: Request, writer: asyncio.StreamWriter) -> None:
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
    return data({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def error(message: str, code: object = None, kind: str = "invalid_request_error") -> bytes:
    """OpenAI's shape of an error."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
