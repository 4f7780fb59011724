"""A server that speaks Google's Gemini API over real HTTP, holds its rules, and can misbehave.

The model's name says what happens, with arguments after colons; `think` signs its calls, and refuses a later request of
the same conversation in which a signature is missing, changed, or in another place.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers import google_wire as says
from tests.servers.openai_server import OpenAIServer
from tests.servers.openai_wire import Request, Wire

TEXT = "Grüße, 世界! 🙂 Done."
KEY = "AIzaSyTest-secret_0123456789-abcdefghij"
ARGUMENTS = {"service": "Grüße 🙂", "lines": [1, 2.5, None]}
PAGE = 2  # models that a page of the list has at most
SIGNED = [  # of the model's content, as it must come back
    {"text": "Which one? 🙂 The web.", "thought": True},
    {"text": "Grüße, ", "thoughtSignature": "dGV4dA+/=="},
    {"text": "世界! 🙂"},
    says.call("service_restart", {"service": "web"}, "Y2FsbA+/=="),
    says.call("service_status", {}),
]
STREAM = (
    says.thoughts("Which one? 🙂", " The web.")
    + says.chunk(SIGNED[1])
    + says.chunk(SIGNED[2])
    + says.chunk(*SIGNED[3:], finish="STOP", candidatesTokenCount=5, thoughtsTokenCount=2)
)


class GoogleServer(OpenAIServer):
    """The server; `models` is what it lists, `modern` whether it knows JSON Schema."""

    modern = True

    @property
    def base_url(self) -> str:
        """What GOOGLE_BASE_URL is set to."""
        return f"http://127.0.0.1:{self.port}/v1beta"

    @property
    def chats(self) -> list[Request]:
        """The requests for an answer, in order."""
        return [request for request in self.requests if ":streamGenerateContent" in request.path]

    async def _play(self, wire: Wire) -> None:
        sent = wire.request
        address = urlsplit(sent.path)
        query = parse_qs(address.query)
        if sent.headers.get("x-goog-api-key") != KEY:
            info = says.detail("ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com")
            words = f"API key not valid: {sent.headers.get('x-goog-api-key', 'none')}"
            await wire.whole(400, says.error(400, "INVALID_ARGUMENT", words, info))
        elif sent.method == "GET":
            await self._list(wire, query)
        elif query.get("alt") != ["sse"]:
            await wire.whole(200, b"[]")
        elif fault := next(says.faults(sent.body), "") or self._older(sent.body):
            await wire.whole(400, says.error(400, "INVALID_ARGUMENT", fault))
        else:
            name, *arguments = (
                unquote(address.path.rpartition("/models/")[2]).removesuffix(":streamGenerateContent").split(":")
            )
            if script := SCRIPTS.get(name):
                await script(wire, *arguments)
            else:
                words = f"models/{name} is not found for API version v1beta, or is not supported for generateContent."
                await wire.whole(404, says.error(404, "NOT_FOUND", words))

    def _older(self, body: dict) -> str:
        """What a server that is older refuses."""
        told = json.dumps(body.get("tools", []))
        if self.modern or "parametersJsonSchema" not in told:
            return ""
        where = "tools[0].function_declarations[0]"
        return f"Invalid JSON payload received. Unknown name \"parametersJsonSchema\" at '{where}': Cannot find field."

    async def _list(self, wire: Wire, query: dict[str, list[str]]) -> None:
        """A page of the list of models, among which some do not chat."""
        begin = int(query.get("pageToken", ["0"])[0])
        end = begin + PAGE
        ways = {"embed": ["embedContent"], "aqa": ["generateAnswer"]}
        models = self.models or []
        page: dict = {
            "models": [
                {
                    "name": f"models/{name}",
                    "supportedGenerationMethods": ways.get(name, ["generateContent", "countTokens"]),
                }
                for name in models[begin:end]
            ]
        }
        if end < len(models):
            page["nextPageToken"] = str(end)
        await wire.whole(200, json.dumps(page).encode())


async def speak(wire: Wire, *pieces: bytes, pause: float = 0.0) -> None:
    """A whole stream."""
    await wire.head()
    for piece in filter(None, pieces):  # an empty one would end the body
        await wire.write(piece, pause)
    await wire.end()


async def plain(wire: Wire, reason: str = "STOP") -> None:
    """A few words."""
    await speak(wire, says.text("Grüße, 世界! ", "🙂 Done."), says.end(reason))


async def cached(wire: Wire) -> None:
    """Most of the request came from the cache."""
    await speak(wire, says.text("hot"), says.end(promptTokenCount=4210, cachedContentTokenCount=4000))


async def bytewise(wire: Wire) -> None:
    """Every byte in a packet of its own."""
    await wire.head()
    for byte in says.text(TEXT):
        await wire.write(bytes([byte]), 0.0005)
    await wire.write(says.end())
    await wire.end()


async def lf(wire: Wire) -> None:
    """Plain line ends, and all of it in one packet without its last blank line."""
    await speak(wire, (says.text(TEXT) + says.end()).replace(b"\r\n", b"\n").rstrip(b"\n"))


async def pings(wire: Wire) -> None:
    """Comments, chunks without words, and parts that nobody asked for."""
    odd = [{"executableCode": {"code": "1"}}, {"inlineData": {"mimeType": "image/png", "data": "eA=="}}, {"hm": 7}]
    bare = says.data({"usageMetadata": {"promptTokenCount": 10}, "forecast": [1]}) + says.data({"candidates": []})
    no_parts = says.data({"candidates": [{"content": {"role": "model"}, "index": 0, "safetyRatings": []}]})
    await speak(wire, b": keep\r\n\r\n", bare, no_parts, says.chunk({"text": "pi"}, *odd, {"text": "ng"}), says.end())


async def ping_forever(wire: Wire) -> None:
    """Chunks that never become a word."""
    await wire.head()
    while True:
        await wire.write(says.data({"usageMetadata": {"promptTokenCount": 10}}), 0.02)


async def think(wire: Wire) -> None:
    """Thoughts, words and two calls; then, where the signatures came back as they were, the answer."""
    contents = wire.request.body["contents"]
    if len(contents) == 1:
        await speak(wire, STREAM)
        return
    sent = [dict(part) for part in contents[-2]["parts"]]
    for part in sent:
        if "functionCall" in part:
            part["functionCall"] = {key: part["functionCall"][key] for key in ("name", "args")}
    if sent != SIGNED:
        words = "Function call is missing a thought_signature in functionCall parts."
        await wire.whole(400, says.error(400, "INVALID_ARGUMENT", words))
    else:
        await speak(wire, says.text("It runs."), says.end())


async def several(wire: Wire) -> None:
    """Calls in several chunks: with an id, without one, without arguments, and twice of the same id."""
    first = says.chunk(says.call("service_restart", ARGUMENTS, call_id="fc-1"), says.call("service_status"))
    twice = says.call("service_logs", {"lines": 5}, call_id="fc-1")
    await speak(wire, first, says.chunk(twice), says.end())


async def odd_call(wire: Wire) -> None:
    """A call whose arguments are no object, and one without a name."""
    wrong = {"functionCall": {"name": "service_status", "args": ["x"]}}
    await speak(wire, says.chunk(wrong, {"functionCall": {"args": {"a\x00": "b\x00"}}}), says.end())


async def many_calls(wire: Wire) -> None:
    """More calls than anybody needs."""
    await speak(wire, *(says.chunk(says.call("service_status", {})) for _ in range(200)), says.end())


async def slow_call(wire: Wire) -> None:
    """Calls that take longer together than a silence may."""
    await speak(wire, *(says.chunk(says.call("service_status", {"x": n})) for n in range(10)), says.end(), pause=0.05)


async def blocked(wire: Wire) -> None:
    """The prompt is not to be answered."""
    await speak(wire, says.data({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}))


async def broken_off(wire: Wire, reason: str, words: str = "") -> None:
    """The model ends for a reason of its own."""
    await speak(wire, says.text(words), says.chunk(finish=reason))


async def error_in_stream(wire: Wire, code: str, status: str, words: str = "so far ") -> None:
    """An error after the first words."""
    told = json.loads(says.error(int(code), status, f"No: {KEY}"))
    await speak(wire, says.text(words), says.data(told))


async def status(wire: Wire, code: str, name: str = "INTERNAL", shape: str = "plain") -> None:
    """A refusal; in a list it is as where the answer would have been one."""
    told = says.error(int(code), name, f"refused with {code}")
    await wire.whole(int(code), b"[" + told + b"]" if shape == "list" else told)


async def limited(wire: Wire, quota: str, delay: str = "", header: str = "") -> None:
    """A limit is reached."""
    failure = says.detail("QuotaFailure", violations=[{"quotaMetric": "requests", "quotaId": quota}])
    retry = [says.detail("RetryInfo", retryDelay=delay)] if delay else []
    told = says.error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", failure, *retry)
    await wire.whole(429, told, **({"Retry_After": header} if header else {}))


async def odd_error(wire: Wire) -> None:
    """An error that has nothing as it should be."""
    told = {
        "error": {"code": "x", "status": 7, "message": ["?"], "details": [3, {"violations": 1, "retryDelay": "soon"}]}
    }
    await wire.whole(503, json.dumps(told).encode())


async def error_with_200(wire: Wire) -> None:
    """An error in an answer that says that all is well."""
    await wire.whole(200, b"[" + says.error(503, "UNAVAILABLE", "The model is overloaded.") + b"]")


async def web_page(wire: Wire) -> None:
    """A page in place of a stream."""
    await wire.whole(200, b"<html>Welcome!</html>", "text/html; charset=utf-8")


async def web_error(wire: Wire) -> None:
    """A proxy's page in place of an error."""
    await wire.whole(502, b"<html>Bad gateway</html>", "text/html")


async def flaky(wire: Wire) -> None:
    """Overloaded at first."""
    if len(wire.server.chats) == 1:
        await status(wire, "503", "UNAVAILABLE")
    else:
        await plain(wire)


async def cut(wire: Wire) -> None:
    """The connection ends in the middle of the answer."""
    await wire.head()
    await wire.write(says.text("half"), 0.02)
    wire.drop()


async def ends_early(wire: Wire) -> None:
    """A body that ends properly though the answer has not."""
    await speak(wire, says.text("half"))


async def cut_in_call(wire: Wire) -> None:
    """The connection ends after a call, before the model has."""
    await wire.head()
    await wire.write(says.chunk(says.call("service_status", {})), 0.02)
    wire.drop()


async def cut_after_end(wire: Wire) -> None:
    """The connection breaks once the model has ended."""
    await wire.head()
    await wire.write(says.text("all of it") + says.end(), 0.02)
    wire.drop()


async def hang(wire: Wire) -> None:
    """Silence in the middle of the answer."""
    await wire.head()
    await wire.write(says.text("half"), 3600)


async def hang_after_end(wire: Wire) -> None:
    """The model has ended, and the server keeps the connection open in silence."""
    await wire.head()
    await wire.write(says.text("all of it") + says.end(), 3600)


async def silent(wire: Wire) -> None:
    """A head, and nothing more."""
    await wire.head()
    await wire.write(b": wait\r\n\r\n", 3600)


async def malformed(wire: Wire) -> None:
    """A chunk that is cut short."""
    await speak(wire, says.text("good "), b'data: {"candidates": [{"content": {"par\r\n\r\n')


async def wrong_types(wire: Wire) -> None:
    """A text that is none."""
    await speak(wire, says.text("good "), says.chunk({"text": 7}))


async def odd_text(wire: Wire) -> None:
    """NUL, halves of surrogate pairs and the like, and null where a text should be."""
    raw = b'{"candidates":[{"content":{"parts":[{"text":"a\\u0000b\\ud83dc\\u2028d"},{"text":null}]}}]}'
    await speak(wire, b"data: " + raw + b"\r\n\r\n" + says.end())


async def giant(wire: Wire, size: str) -> None:
    """One token of so many characters."""
    await speak(wire, says.text("g" * int(size)), says.end())


async def endless_line(wire: Wire) -> None:
    """A line that never ends."""
    await wire.head()
    await wire.write(b'data: {"candidates": [{"content": {"parts": [{"text": "')
    while True:
        await wire.write(b"x" * 10_000)


async def endless(wire: Wire) -> None:
    """Tokens as fast as they are read."""
    await wire.head()
    while True:
        await wire.write(says.text("x" * 1000))


SCRIPTS: dict[str, Callable[..., Awaitable[None]]] = {
    script.__name__.replace("_", "-"): script
    for script in (
        plain, cached, bytewise, lf, pings, ping_forever, think, several, odd_call, many_calls, slow_call, blocked,
        broken_off, error_in_stream, status, limited, odd_error, error_with_200, web_page, web_error, flaky, cut,
        ends_early, cut_in_call, cut_after_end, hang, hang_after_end, silent, malformed, wrong_types, odd_text, giant,
        endless_line, endless,
    )
}  # fmt: skip


@contextmanager
def running(models: list[str] | None = None) -> Iterator[GoogleServer]:
    """A server for as long as the block lasts."""
    server = GoogleServer(models)
    server.start()
    try:
        yield server
    finally:
        server.close()
