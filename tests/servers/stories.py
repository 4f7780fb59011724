"""One story, told in the wire format of every provider: thoughts, words, two calls at once, an error, a cut.

A teller is a row of the table: how its server speaks and what it was told. A new provider is one more row.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.servers import (
    anthropic_server,
    anthropic_wire,
    google_server,
    google_wire,
    ollama_server,
    ollama_wire,
    openai_scripts,
    openai_server,
)
from tests.servers.openai_server import OpenAIServer
from tests.servers.openai_tools import piece
from tests.servers.openai_wire import Request, Wire, data, event

THOUGHTS = "Which one? 🙂", " The web."
WORDS = "I restart it, ", "世界. "
ANSWER = "It ", "runs."
CALLS = ("service_restart", {"service": "web"}), ("service_status", {})
RAW = '{"service": "web"}', "{}"
Script = Callable[[Wire], Awaitable[None]]


@dataclass(frozen=True)
class Teller:
    """How one provider tells the story. Its last argument is whether the answer ends with calls.

    `given`: what the tools gave, as the request has it; `shown`: the images and words of the user, as it has them.
    """

    kind: str
    running: Callable[[], AbstractContextManager[OpenAIServer]]
    scripts: dict[str, Callable[..., Awaitable[None]]]
    key: str
    whole: Callable[[bool], bytes]
    begins: Callable[[], bytes]
    error: bytes
    given: Callable[[dict], list[str]]
    shown: Callable[[dict], list[str]]
    media: str = "text/event-stream"

    def __str__(self) -> str:
        return self.kind


def _openai(calling: bool) -> bytes:
    if not calling:
        said = b"".join(event({"content": one}) for one in ANSWER) + event({}, "stop")
    else:
        names = [piece(n, f"call_{n}", name, "") for n, (name, _) in enumerate(CALLS)]
        halves = [piece(n, arguments=raw[part]) for part in (slice(1), slice(1, None)) for n, raw in enumerate(RAW)]
        said = _openai_begins() + b"".join(event({"tool_calls": [one]}) for one in names + halves)
        said += event({}, "tool_calls")
    return said + data({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 7}}) + b"data: [DONE]\n\n"


def _openai_begins() -> bytes:
    said = [event({"role": "assistant", "content": None}), *(event({"reasoning_content": one}) for one in THOUGHTS)]
    return b"".join([*said, *(event({"content": one}) for one in WORDS)])


def _anthropic(calling: bool) -> bytes:
    if not calling:
        return anthropic_wire.start() + anthropic_wire.text(0, *ANSWER) + anthropic_wire.end()
    parts = [anthropic_wire.tool_use(n + 2, f"toolu_{n}", CALLS[n][0], raw[:1], raw[1:]) for n, raw in enumerate(RAW)]
    return b"".join([_anthropic_begins(), *parts, anthropic_wire.end("tool_use")])


def _anthropic_begins() -> bytes:
    said = anthropic_wire.thinking(0, "c2ln", *THOUGHTS) + anthropic_wire.text(1, *WORDS)
    return anthropic_wire.start() + anthropic_wire.event("ping") + said


def _google(calling: bool) -> bytes:
    if not calling:
        return google_wire.text(*ANSWER) + google_wire.end()
    first, second = (google_wire.call(name, arguments) for name, arguments in CALLS)
    called = google_wire.chunk({**first, "thoughtSignature": "c2ln"}, second)
    return _google_begins() + called + google_wire.end()


def _google_begins() -> bytes:
    return google_wire.thoughts(*THOUGHTS) + google_wire.text(*WORDS)


def _ollama(calling: bool) -> bytes:
    if not calling:
        return ollama_wire.text(*ANSWER) + ollama_wire.end()
    called = (ollama_wire.call(name, arguments, index=n) for n, (name, arguments) in enumerate(CALLS))
    return _ollama_begins() + ollama_wire.calls(*called) + ollama_wire.end()


def _ollama_begins() -> bytes:
    return ollama_wire.thinking(*THOUGHTS) + ollama_wire.text(*WORDS)


def _openai_given(body: dict) -> list[str]:
    return [message["content"] for message in body["messages"] if message["role"] == "tool"]


def _openai_shown(body: dict) -> list[str]:
    content = next(message["content"] for message in body["messages"] if message["role"] == "user")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [part["text"] if part["type"] == "text" else part["image_url"]["url"] for part in parts]


def _anthropic_given(body: dict) -> list[str]:
    blocks = [block for message in body["messages"] for block in message["content"]]
    return [block["content"] for block in blocks if block["type"] == "tool_result"]


def _anthropic_shown(body: dict) -> list[str]:
    sources = [block.get("source") or block for block in body["messages"][0]["content"]]
    return [one.get("text") or f"data:{one['media_type']};base64,{one['data']}" for one in sources]


def _google_given(body: dict) -> list[str]:
    parts = [part for content in body["contents"] for part in content["parts"]]
    return [part["functionResponse"]["response"]["output"] for part in parts if "functionResponse" in part]


def _google_shown(body: dict) -> list[str]:
    parts = [part.get("inlineData") or part for part in body["contents"][0]["parts"]]
    return [one.get("text") or f"data:{one['mimeType']};base64,{one['data']}" for one in parts]


def _ollama_shown(body: dict) -> list[str]:
    """Ollama is not told of what type an image is: it looks."""
    message = next(message for message in body["messages"] if message["role"] == "user")
    return [*(f"data:image/png;base64,{one}" for one in message.get("images", ())), message["content"]]


TELLERS = (
    Teller(
        "openai", openai_server.running, openai_scripts.SCRIPTS, "sk-test-secret-0123456789", _openai, _openai_begins,
        data({"error": {"message": "The server is overloaded", "code": "server_error"}}), _openai_given, _openai_shown,
    ),
    Teller(
        "anthropic", anthropic_server.running, anthropic_server.SCRIPTS, anthropic_server.KEY, _anthropic,
        _anthropic_begins, anthropic_wire.event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
        _anthropic_given, _anthropic_shown,
    ),
    Teller(
        "google", google_server.running, google_server.SCRIPTS, google_server.KEY, _google, _google_begins,
        b"data: " + google_wire.error(503, "UNAVAILABLE", "The model is overloaded.") + b"\r\n\r\n", _google_given,
        _google_shown,
    ),
    Teller(
        "ollama", ollama_server.running, ollama_server.SCRIPTS, "", _ollama, _ollama_begins,
        ollama_wire.error("an error was encountered while running the model") + b"\n", _openai_given, _ollama_shown,
        ollama_wire.NDJSON,
    ),
)  # fmt: skip


def _scripts(teller: Teller) -> dict[str, Script]:
    """What the teller's server does, by the name of the model."""

    async def story(wire: Wire, size: int = 0) -> None:
        said = teller.whole(not teller.given(wire.request.body))
        await wire.head(media=teller.media)
        for begin in range(0, len(said), size or len(said)):
            await wire.write(said[begin : begin + (size or len(said))])
        await wire.end()

    async def in_pieces(wire: Wire) -> None:
        await story(wire, 7)

    async def failing(wire: Wire) -> None:
        await wire.head(media=teller.media)
        await wire.write(teller.begins() + teller.error)
        await wire.end()

    async def cut(wire: Wire) -> None:
        await wire.head(media=teller.media)
        await wire.write(teller.begins(), 0.02)
        wire.drop()

    return {"story": story, "story-in-pieces": in_pieces, "story-failing": failing, "story-cut": cut}


for _teller in TELLERS:
    _teller.scripts.update(_scripts(_teller))


def last(server: OpenAIServer) -> Request:
    """The last request for an answer."""
    return server.chats[-1]
