"""A server that speaks Ollama's own API over real HTTP, holds its rules, and can misbehave.

The model's name says what happens, with arguments after tildes (a colon begins Ollama's tags); `think` wants its
thoughts back with a call. What a model can do is what `/api/show` tells, as `abilities` has it.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tests.servers import ollama_wire as says
from tests.servers.openai_server import OpenAIServer
from tests.servers.openai_wire import Request, Wire

TEXT = "Grüße, 世界! 🙂 Done."
ALL = ["completion", "tools", "thinking", "vision"]
THOUGHTS = "Which one? 🙂 The web."
CALL = says.call("service_restart", {"service": "web"})
STREAM = says.thinking("Which one? 🙂", " The web.") + says.text("Grüße, ", "世界! 🙂") + says.calls(CALL) + says.end()


class OllamaServer(OpenAIServer):
    """The server; `models` is what it lists. `old`: one that knows no `/api/show`; `key`: the one that it wants."""

    def __init__(self, models: list[str] | None = None) -> None:
        super().__init__(models)
        self.abilities: dict[str, list[str]] = {}
        self.details: dict[str, dict] = {}
        self.shown: dict[str, dict] = {}
        self.old = False
        self.key = ""

    @property
    def base_url(self) -> str:
        """What OLLAMA_HOST is set to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def chats(self) -> list[Request]:
        """The requests for an answer, in order."""
        return [request for request in self.requests if request.path == "/api/chat"]

    @property
    def shows(self) -> list[str]:
        """The models that were looked at, in order."""
        return [str(request.body["model"]) for request in self.requests if request.path == "/api/show"]

    async def _play(self, wire: Wire) -> None:
        sent = wire.request
        if self.key and sent.headers.get("authorization") != f"Bearer {self.key}":
            await wire.whole(401, says.error("unauthorized"))
        elif self.models_script and sent.method == "GET":
            await self.models_script(wire)
        elif (sent.method, sent.path) == ("GET", "/api/tags"):
            await wire.whole(200, json.dumps({"models": [self._listed(name) for name in self.models or []]}).encode())
        elif (sent.method, sent.path) == ("POST", "/api/show") and not self.old:
            await self._show(wire, str(sent.body["model"]))
        elif (sent.method, sent.path) == ("POST", "/api/chat"):
            await self._chat(wire)
        else:
            await wire.whole(404, b"404 page not found", "text/plain")

    def _listed(self, name: str) -> dict:
        digest = hashlib.sha256(repr((name, self.abilities.get(name))).encode()).hexdigest()
        details = {"format": "gguf", "family": "llama", "families": ["llama"], **self.details.get(name, {})}
        return {"name": name, "model": name, "modified_at": says.WHEN, "size": 1, "digest": digest, "details": details}

    async def _show(self, wire: Wire, name: str) -> None:
        if name == "missing":
            await wire.whole(404, says.error(f"model '{name}' not found"))
            return
        info = {"general.architecture": "llama", "llama.context_length": 131072}
        told = {"capabilities": self.abilities.get(name, ALL), "model_info": info, "license": "…", "details": {}}
        await wire.whole(200, json.dumps({**told, **self.shown.get(name, {})}).encode())

    async def _chat(self, wire: Wire) -> None:
        model = str(wire.request.body.get("model"))
        name, *arguments = model.removesuffix(":latest").split("~")
        script = SCRIPTS.get(name)
        if script is None:
            await wire.whole(404, says.error(f'model "{model}" not found, try pulling it first'))
        elif fault := next(says.faults(wire.request.body, self.abilities.get(model, ALL)), ""):
            await wire.whole(400, says.error(fault))
        else:
            await script(wire, *arguments)


async def speak(wire: Wire, *pieces: bytes, pause: float = 0.0) -> None:
    """A whole stream."""
    await wire.head(media=says.NDJSON)
    for piece in pieces:
        await wire.write(piece, pause)
    await wire.end()


async def plain(wire: Wire, reason: str = "stop") -> None:
    """A few words."""
    await speak(wire, says.text("Grüße, 世界! ", "🙂 Done."), says.end(reason))


async def bytewise(wire: Wire) -> None:
    """Every byte in a packet of its own."""
    await wire.head(media=says.NDJSON)
    for byte in says.text(TEXT):
        await wire.write(bytes([byte]), 0.0005)
    await wire.write(says.end())
    await wire.end()


async def crlf(wire: Wire) -> None:
    """CRLF line ends, empty lines, all in one packet, and no line end at the end."""
    lines = says.text(TEXT) + b"\n" + says.end().rstrip(b"\n")
    await speak(wire, lines.replace(b"\n", b"\r\n"))


async def unstreamed(wire: Wire) -> None:
    """One JSON, as a proxy that does not stream makes of it."""
    await wire.whole(200, says.end(message={"role": "assistant", "content": TEXT}))


async def think(wire: Wire) -> None:
    """Thoughts, words and a call; then, where the thoughts came back with the call, the answer."""
    messages = wire.request.body["messages"]
    if len(messages) == 1:
        await speak(wire, STREAM)
    elif messages[-2].get("thinking") != THOUGHTS or not messages[-1].get("tool_name"):
        await wire.whole(400, says.error("the thoughts or the name of the tool are missing"))
    else:
        await speak(wire, says.text("It runs."), says.end())


async def tags(wire: Wire) -> None:
    """Thoughts in the text, as servers sent them before they had a field for them."""
    await speak(wire, says.text("<th", "ink>\nLet me ", "think.</thi", "nk>\n", "\nIt is 42."), says.end())


async def several(wire: Wire) -> None:
    """Calls in a line together and in one more, each line's index from nought, without ids."""
    first = says.call("service_restart", {"service": "Grüße 🙂", "lines": [1, 2.5, None]})
    await speak(
        wire,
        says.calls(first, says.call("service_status", {}, index=1)),
        says.calls(says.call("service_status", {})),
        says.end(),
    )


async def with_ids(wire: Wire) -> None:
    """Calls with ids, as newer servers send them, one with its arguments as a text."""
    one, two = says.call("service_restart", {}, "call_a"), says.call("service_status", '{"lines": 5}', "call_b")
    await speak(wire, says.calls(one), says.calls(two), says.end())


async def no_think(wire: Wire) -> None:
    """A model that cannot think, whatever was told of it."""
    if "think" in wire.request.body:
        await wire.whole(400, says.error('"no-think" does not support thinking'))
    else:
        await plain(wire)


async def overflow(wire: Wire) -> None:
    """More than the context has room for."""
    if wire.request.body.get("truncate") is False:
        await wire.whole(400, says.error("the input length exceeds the context length"))
    else:
        await plain(wire)


async def error_in_stream(wire: Wire, words: str = "so far ") -> None:
    """An error after the first words."""
    failed = says.error("an error was encountered while running the model: unexpected EOF sk-abcdefgh1234") + b"\n"
    await speak(wire, (says.text(words) if words else b"") + failed)


async def status(wire: Wire, code: str, words: str = "refused", retry_after: str = "") -> None:
    """A refusal."""
    extra = {"Retry_After": retry_after} if retry_after else {}
    await wire.whole(int(code), says.error(words), **extra)


async def flaky(wire: Wire) -> None:
    """Busy at first."""
    if len(wire.server.chats) == 1:
        await status(wire, "503", "server busy, please try again.  maximum pending requests exceeded")
    else:
        await plain(wire)


async def error_body(wire: Wire) -> None:
    """200, with an error for a body."""
    await wire.whole(200, says.error("model requires more system memory (9.1 GiB) than is available (4.0 GiB)"))


async def cut(wire: Wire) -> None:
    """The connection ends in the middle of the answer."""
    await wire.head(media=says.NDJSON)
    await wire.write(says.text("half") + says.text("of it")[:20], 0.02)
    wire.drop()


async def ends_early(wire: Wire) -> None:
    """A body that ends properly though the answer has not."""
    await speak(wire, says.text("half"))


async def slow_first(wire: Wire, seconds: str) -> None:
    """The model is loaded before the first token."""
    await wire.head(media=says.NDJSON)
    await asyncio.sleep(float(seconds))
    await wire.write(says.text("late") + says.end())
    await wire.end()


async def hang(wire: Wire) -> None:
    """Silence in the middle of the answer."""
    await wire.head(media=says.NDJSON)
    await wire.write(says.text("half"), 3600)


async def malformed(wire: Wire) -> None:
    """A line that is cut short."""
    await speak(wire, says.text("good "), b'{"model":"m","message":{"role":"assis\n', says.end())


async def wrong_types(wire: Wire) -> None:
    """A line of another shape."""
    await speak(wire, says.text("good "), says.line({"content": 7}), says.end())


async def odd_text(wire: Wire) -> None:
    """NUL, halves of surrogate pairs and the like, and null where a text should be."""
    raw = b'{"message":{"role":"assistant","content":"a\\u0000b\\ud83dc\\u2028d","thinking":null},"done":false}\n'
    await speak(wire, raw, says.end())


async def giant(wire: Wire, size: str) -> None:
    """One token of so many characters."""
    await speak(wire, says.text("g" * int(size)), says.end())


async def endless(wire: Wire) -> None:
    """Tokens as fast as they are read."""
    await wire.head(media=says.NDJSON)
    while True:
        await wire.write(says.text("x" * 1000))


async def endless_line(wire: Wire) -> None:
    """A line that never ends."""
    await wire.head(media=says.NDJSON)
    await wire.write(says.text("so far ") + b'{"message":"')
    while True:
        await wire.write(b"x" * 65_536)


async def web_page(wire: Wire) -> None:
    """A page in place of a stream."""
    await wire.whole(200, b"<html>Welcome!</html>", "text/html; charset=utf-8")


SCRIPTS: dict[str, Callable[..., Awaitable[None]]] = {
    script.__name__.replace("_", "-"): script
    for script in (
        plain, bytewise, crlf, unstreamed, think, tags, several, with_ids, no_think, overflow, error_in_stream, status,
        flaky, error_body, cut, ends_early, slow_first, hang, malformed, wrong_types, odd_text, giant, endless,
        endless_line, web_page,
    )
}  # fmt: skip


@contextmanager
def running(models: list[str] | None = None) -> Iterator[OllamaServer]:
    """A server for as long as the block lasts."""
    server = OllamaServer(models)
    server.start()
    try:
        yield server
    finally:
        server.close()
