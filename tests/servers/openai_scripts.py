"""What the OpenAI-compatible test server can do, by the name of the model; arguments follow colons."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from tests.servers.openai_tools import calls
from tests.servers.openai_wire import Wire, data, error, event

TEXT = "Grüße, 世界! 🙂 Done."


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


async def late_end(wire: Wire) -> None:
    """The body ends a moment after [DONE]."""
    await wire.head()
    await wire.write(event({"content": "all of it"}) + b"data: [DONE]\n\n", 0.01)
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
    await wire.write(event({"content": "so far "}) + data({"error": {"message": words, "code": code or None}}))
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


async def window(wire: Wire, most: str) -> None:
    """A window of so many characters: what is told beyond them is refused, in OpenAI's words."""
    if sum(len(str(message["content"])) for message in wire.request.body["messages"]) > int(most):
        words = f"This model's maximum context length is {most} tokens. Please reduce the length of the messages."
        await wire.whole(400, error(words, "context_length_exceeded"))
    else:
        await tokens(wire, 2, 0)


async def quota(wire: Wire) -> None:
    await wire.whole(429, error("You exceeded your current quota", "insufficient_quota"))


async def echo_key(wire: Wire) -> None:
    """A refusal that repeats the key, and keys like it, with line breaks and control characters."""
    sent = wire.request.headers.get("authorization", "")
    await wire.whole(401, error(f"Incorrect API key:\n{sent}\x07 or sk-proj-abcdefgh1234 given", "invalid_api_key"))


async def huge_error(wire: Wire) -> None:
    await wire.whole(400, error("x" * 30_000))


async def deep_error(wire: Wire) -> None:
    """A refusal that is nested deeper than a parser goes."""
    await wire.whole(500, b'{"error":' + b"[" * 60_000)


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


async def json_page(wire: Wire) -> None:
    """JSON that is no answer."""
    await wire.whole(200, b'{"hello": "world"}')


async def web_page(wire: Wire) -> None:
    await wire.whole(200, b"<html>Welcome!</html>", "text/html; charset=utf-8")


async def odd_text(wire: Wire) -> None:
    """NUL, halves of surrogate pairs, line separators and the like in the text."""
    await wire.head()
    await wire.write(b'data: {"choices":[{"delta":{"content":"a\\u0000b\\ud83dc\\ude42d\\ud83d\\ude42\\u2028e"}}]}\n\n')
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
        split_bytes, crlf, pings, ping_forever, cut, ends_early, no_done, cut_after_finish, hang_after_finish, late_end,
        malformed, wrong_types, error_event, error_first, status, status_html, flaky, missing, quota, echo_key,
        huge_error, deep_error, endless_error, redirect, slow_head, slow_first, stall, giant, endless, endless_line,
        reasoning, tool_calls, no_usage, ends_with, no_stream_options, not_streamed, json_page, web_page, odd_text,
        not_http, hang_up, calls, window,
    )
}  # fmt: skip
