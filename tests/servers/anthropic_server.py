"""A server that speaks Anthropic's Messages API over real HTTP, holds its rules, and can misbehave.

The model's name says what happens, with arguments after colons; `think` signs its thoughts, and refuses a later request
of the same conversation in which they are missing or changed.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tests.servers import anthropic_wire as says
from tests.servers.openai_server import OpenAIServer
from tests.servers.openai_wire import Request, Wire

TEXT = "Grüße, 世界! 🙂 Done."
ARGUMENTS = '{"service": "Grüße 🙂", "lines": [1, 2.5, null]}'
KEY = "sk-ant-test-secret-0123456789"
THOUGHTS = [
    {"type": "thinking", "thinking": "Which one? 🙂 The web.", "signature": "c2lnbmF0dXJl+/=="},
    {"type": "redacted_thinking", "data": "c2VhbGVk+/=="},
]
THINKS = says.thinking(0, "c2lnbmF0dXJl+/==", "Which one? 🙂", " The web.") + says.redacted(1, "c2VhbGVk+/==")
CALLS = says.tool_use(3, "toolu_1", "service_restart", '{"ser', 'vice": "w', 'eb"}')
STREAM = says.start() + THINKS + says.event("ping") + says.text(2, "Grüße, ", "世界! 🙂") + CALLS + says.end("tool_use")


class AnthropicServer(OpenAIServer):
    """The server; `models` is what it lists."""

    @property
    def chats(self) -> list[Request]:
        """The requests for an answer, in order."""
        return [request for request in self.requests if request.path.endswith("/messages")]

    async def _play(self, wire: Wire) -> None:
        sent = wire.request
        if sent.headers.get("x-api-key") != KEY:
            given = sent.headers.get("x-api-key", "none")
            await wire.whole(401, says.error("authentication_error", f"invalid x-api-key: {given}"))
        elif sent.method == "GET":
            listed = [{"type": "model", "id": name, "display_name": name} for name in self.models or []]
            await wire.whole(200, json.dumps({"data": listed, "has_more": False}).encode())
        elif fault := next(says.faults(sent.headers, sent.body), ""):
            await wire.whole(400, says.error("invalid_request_error", fault))
        else:
            name, *arguments = str(sent.body.get("model")).split(":")
            if script := SCRIPTS.get(name):
                await script(wire, *arguments)
            else:
                await wire.whole(404, says.error("not_found_error", f"model: {name}"))


async def speak(wire: Wire, *pieces: bytes, pause: float = 0.0) -> None:
    """A whole stream."""
    await wire.head()
    for piece in pieces:
        await wire.write(piece, pause)
    await wire.end()


async def plain(wire: Wire, reason: str = "end_turn") -> None:
    """A few words."""
    await speak(wire, says.start(), says.text(0, "Grüße, 世界! ", "🙂 Done."), says.end(reason))


async def cached(wire: Wire) -> None:
    """Most of the request came from the cache."""
    counts = {"cache_creation_input_tokens": 200, "cache_read_input_tokens": 4000}
    await speak(wire, says.start(**counts), says.text(0, "hot"), says.end(input_tokens=0))


async def bytewise(wire: Wire) -> None:
    """Every byte in a packet of its own."""
    await wire.head()
    for byte in says.start() + says.text(0, TEXT):
        await wire.write(bytes([byte]), 0.0005)
    await wire.write(says.end())
    await wire.end()


async def crlf(wire: Wire) -> None:
    """CRLF line ends, and all of it in one packet."""
    await speak(wire, (says.start() + says.text(0, TEXT) + says.end()).replace(b"\n", b"\r\n"))


async def pings(wire: Wire) -> None:
    """Pings, comments, and events, blocks and deltas that nobody has heard of."""
    odd = says.event("forecast", index="x", delta=7) + b": keep\n\n" + says.event("ping")
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}, "text": [1]}
    searched = says.block(0, search, {"type": "input_json_delta", "partial_json": '{"q": "x"}'})
    found = says.block(1, {"type": "web_search_tool_result", "content": [{"type": "text", "text": {}}]})
    cites = {"type": "citations_delta", "citation": {}, "text": 9}
    said = says.block(2, {"type": "text", "text": "pi"}, cites, {"type": "text_delta", "text": "ng"})
    await speak(wire, odd, says.start(), odd, searched, found, said, odd, says.end())


async def ping_forever(wire: Wire) -> None:
    """Pings that never become a word."""
    await wire.head()
    await wire.write(says.start())
    while True:
        await wire.write(says.event("ping"), 0.02)


async def think(wire: Wire) -> None:
    """Thoughts, words and a call; then, where the thoughts came back as they were, the answer."""
    messages = wire.request.body["messages"]
    if len(messages) == 1:
        await speak(wire, STREAM)
        return
    sent = [one for one in messages[-2]["content"] if one["type"] in says.THOUGHTS]
    if sent != THOUGHTS:
        await wire.whole(400, says.error("invalid_request_error", "`thinking` blocks cannot be modified"))
    else:
        await speak(wire, says.start(), says.text(0, "It runs."), says.end())


async def several(wire: Wire) -> None:
    """Three calls at once: in pieces, without arguments, and with the whole of them at the start."""
    whole = {"type": "tool_use", "id": "toolu_c", "name": "service_logs", "input": {"lines": 5}}
    first = says.tool_use(0, "toolu_a", "service_restart", *(ARGUMENTS[at : at + 3] for at in range(0, 60, 3)))
    second = says.tool_use(1, "toolu_b", "service_status")
    await speak(wire, says.start(), first, second, says.block(2, whole), says.end("tool_use"))


async def slow_call(wire: Wire) -> None:
    """Arguments that take longer together than a silence may."""
    pieces = says.tool_use(0, "toolu_a", "service_status", '{"x": "', *"abcdefghij", '"}').split(b"\n\n")
    await speak(wire, says.start(), *(piece + b"\n\n" for piece in pieces if piece), says.end("tool_use"), pause=0.05)


async def error_in_stream(wire: Wire, kind: str, words: str = "so far ") -> None:
    """An error after the first words."""
    said = says.text(0, words) if words else b""
    await speak(wire, says.start() + said, says.event("error", error={"type": kind, "message": f"No: {KEY}"}))


async def status(wire: Wire, code: str, kind: str = "api_error", retry_after: str = "") -> None:
    """A refusal."""
    extra = {"Retry_After": retry_after} if retry_after else {}
    await wire.whole(int(code), says.error(kind, f"refused with {code}"), **extra)


async def flaky(wire: Wire) -> None:
    """Overloaded at first."""
    if len(wire.server.chats) == 1:
        await status(wire, "529", "overloaded_error")
    else:
        await plain(wire)


async def too_long(wire: Wire) -> None:
    """More than the model reads."""
    words = f"prompt is too long: 210000 tokens > 200000 maximum ({KEY})"
    await wire.whole(400, says.error("invalid_request_error", words))


async def cut(wire: Wire) -> None:
    """The connection ends in the middle of the answer."""
    await wire.head()
    await wire.write(says.start() + says.text(0, "half"), 0.02)
    wire.drop()


async def cut_in_call(wire: Wire) -> None:
    """The connection ends in the middle of a call."""
    await wire.head()
    await wire.write(says.start() + CALLS, 0.02)
    wire.drop()


async def cut_after_end(wire: Wire) -> None:
    """The connection ends once the model has, before the stream says so."""
    await wire.head()
    await wire.write(says.start() + says.text(0, "all of it") + says.end().partition(b"event: message_stop")[0], 0.02)
    wire.drop()


async def hang(wire: Wire) -> None:
    """Silence in the middle of the answer."""
    await wire.head()
    await wire.write(says.start() + says.text(0, "half"), 3600)


async def malformed(wire: Wire) -> None:
    """An event that is cut short."""
    await speak(wire, says.start() + says.text(0, "good "), b'data: {"type": "content_block_delta", "del\n\n')


async def wrong_types(wire: Wire) -> None:
    """A known delta of another shape."""
    odd = says.event("content_block_delta", index=0, delta={"type": "text_delta", "text": 7})
    await speak(wire, says.start() + says.text(0, "good "), odd)


async def odd_text(wire: Wire) -> None:
    """NUL, halves of surrogate pairs and the like, and null where a text should be."""
    raw = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\\u0000b\\ud83dc\\u2028d"}}'
    begins = says.event("content_block_start", index=0, content_block={"type": "text", "text": None})
    await speak(wire, says.start() + begins + b"data: " + raw + b"\n\n" + says.end())


async def giant(wire: Wire, size: str) -> None:
    """One token of so many characters."""
    await speak(wire, says.start(), says.text(0, "g" * int(size)), says.end())


async def endless(wire: Wire) -> None:
    """Tokens as fast as they are read."""
    await wire.head()
    await wire.write(says.start() + says.event("content_block_start", index=0, content_block={"type": "text"}))
    while True:
        delta = {"type": "text_delta", "text": "x" * 1000}
        await wire.write(says.event("content_block_delta", index=0, delta=delta))


async def web_page(wire: Wire) -> None:
    """A page in place of a stream."""
    await wire.whole(200, b"<html>Welcome!</html>", "text/html; charset=utf-8")


async def error_with_200(wire: Wire) -> None:
    """An error in an answer that says that all is well."""
    await wire.whole(200, says.error("overloaded_error", "Overloaded"))


async def json_page(wire: Wire) -> None:
    """JSON in place of a stream, which tells of no error."""
    await wire.whole(200, b'{"hello": "world", "error": null}')


async def endless_line(wire: Wire) -> None:
    """A line that never ends."""
    await wire.head()
    await wire.write(b'event: content_block_delta\ndata: {"type": "')
    while True:
        await wire.write(b"x" * 10_000)


SCRIPTS: dict[str, Callable[..., Awaitable[None]]] = {
    script.__name__.replace("_", "-"): script
    for script in (
        plain, cached, bytewise, crlf, pings, ping_forever, think, several, slow_call, error_in_stream, status, flaky,
        too_long, cut, cut_in_call, cut_after_end, hang, malformed, wrong_types, odd_text, giant, endless,
        endless_line, web_page, error_with_200, json_page,
    )
}  # fmt: skip


@contextmanager
def running(models: list[str] | None = None) -> Iterator[AnthropicServer]:
    """A server for as long as the block lasts."""
    server = AnthropicServer(models)
    server.start()
    try:
        yield server
    finally:
        server.close()
