"""Services that speak OpenAI's API each in its own way, over real HTTP: what they send, and what they refuse.

The server's dialect is the name of a preset; the model's name says what happens.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tests.servers.openai_server import OpenAIServer
from tests.servers.openai_tools import piece
from tests.servers.openai_wire import Wire, data, error, event

MISTRAL_FIELDS = {"model", "messages", "stream", "tools", "tool_choice", "max_tokens", "temperature"}
MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
DONE = b"data: [DONE]\n\n"
CALL = piece(0, "call_abc", "service_status", '{"service": "web"}')


class DialectServer(OpenAIServer):
    """The server; `listed` is its list of models as it tells it."""

    def __init__(self, dialect: str) -> None:
        super().__init__()
        self.dialect = dialect
        self.listed: list[dict] = []

    async def _play(self, wire: Wire) -> None:
        if wire.request.path.endswith("/models"):
            await wire.whole(200, json.dumps({"object": "list", "data": self.listed}).encode())
        elif fault := RULES.get(self.dialect, lambda body: None)(wire.request.body):
            await wire.whole(*fault)
        else:
            await SCRIPTS[wire.request.body["model"]](wire)


def mistral_rules(body: dict) -> tuple[int, bytes] | None:
    """No field that it does not know, and ids of nine letters and digits."""
    if odd := next((name for name in body if name not in MISTRAL_FIELDS), None):
        fault = {"type": "extra_forbidden", "loc": ["body", odd], "msg": "Extra inputs are not permitted"}
        return 422, json.dumps({"object": "error", "message": {"detail": [fault]}, "code": None}).encode()
    called = [call["id"] for message in body["messages"] for call in message.get("tool_calls", [])]
    for call_id in (*called, *(one["tool_call_id"] for one in body["messages"] if one["role"] == "tool")):
        if not MISTRAL_ID.fullmatch(call_id):
            words = f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
            return 400, json.dumps({"object": "error", "message": words, "code": "3280"}).encode()
    return None


def deepseek_rules(body: dict) -> tuple[int, bytes] | None:
    """The thoughts before a call come back with it, and no others do."""
    for message in body["messages"]:
        if bool(message.get("tool_calls")) != ("reasoning_content" in message):
            words = "The `reasoning_content` in the thinking mode must be passed back to the API."
            return 400, error(words)
    return None


RULES: dict[str, Callable[[dict], tuple[int, bytes] | None]] = {"mistral": mistral_rules, "deepseek": deepseek_rules}


async def send(wire: Wire, *events: bytes) -> None:
    """A whole stream."""
    await wire.head()
    for one in events:
        await wire.write(one)
    await wire.end()


async def plain(wire: Wire) -> None:
    await send(wire, event({"role": "assistant", "content": "Hello."}), event({}, "stop"), DONE)


async def processing(wire: Wire) -> None:
    """OpenRouter's comments, its thoughts twice, and what it cost."""
    comment = b": OPENROUTER PROCESSING\n\n"
    detail = [{"type": "reasoning.text", "text": "Hm.", "format": "unknown", "index": 0}]
    thought = event({"role": "assistant", "content": "", "reasoning": "Hm.", "reasoning_details": detail})
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.00014, "cost_details": {}, "is_byok": False}
    await send(
        wire, comment, comment, thought, comment, event({"content": "Hello."}), event({}, "stop"),
        data({"choices": [{"index": 0, "delta": {"content": ""}}], "usage": usage}), DONE,
    )  # fmt: skip


async def fails_midway(wire: Wire) -> None:
    """OpenRouter's error beside a chunk that says nothing."""
    failed = {"code": 502, "message": "Provider disconnected", "metadata": {"provider_name": "X"}}
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    await send(wire, event({"content": "so far "}), data({"error": failed, "choices": [choice]}))


async def fails_in_choice(wire: Wire) -> None:
    """The same within the choice."""
    failed = {"code": 429, "message": "Rate limit exceeded"}
    choice = {"index": 0, "delta": {"content": "far "}, "finish_reason": "error", "error": failed}
    await send(wire, event({"content": "so "}), data({"choices": [choice]}))


async def fails_without_words(wire: Wire) -> None:
    await send(wire, event({"content": "so far "}), event({}, "error"), DONE)


async def fails_at_once(wire: Wire) -> None:
    """200 with an error for a body."""
    await wire.whole(200, json.dumps({"error": {"code": 402, "message": "Insufficient credits"}}).encode())


async def parts(wire: Wire) -> None:
    """Mistral's content as a list while it thinks, and its usage with the end."""

    def thinks(text: str) -> bytes:
        return event({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]})

    words = [{"type": "text", "text": "It is "}, {"type": "reference", "reference_ids": [1]}]
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    await send(
        wire, event({"role": "assistant", "content": ""}), thinks("Let me "), thinks("think."),
        event({"content": words}), event({"content": "42."}), data({"choices": [choice], "usage": usage}), DONE,
    )  # fmt: skip


async def calls(wire: Wire) -> None:
    """Thoughts and a call; once its result is there, the answer."""
    if wire.request.body["messages"][-1]["role"] == "tool":
        await plain(wire)
        return
    thoughts = [event({"reasoning_content": text, "content": None}) for text in ("Which ", "one?")]
    await send(wire, *thoughts, event({"tool_calls": [CALL]}), event({}, "tool_calls"), DONE)


async def groq(wire: Wire) -> None:
    """Groq's usage, in a place of its own."""
    usage = {"queue_time": 0.02, "prompt_tokens": 10, "completion_tokens": 3, "total_time": 0.1}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "req", "usage": usage}}
    begins = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "x_groq": {"id": "req"}}
    await send(wire, data(begins), event({"reasoning": "Hm."}), event({"content": "Hello."}), data(end), DONE)


async def groq_too_large(wire: Wire) -> None:
    words = "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9100"
    await wire.whole(413, error(words, "rate_limit_exceeded", "tokens"))


async def groq_limit(wire: Wire) -> None:
    words = "Rate limit reached for model `m` on requests per day (RPD): Limit 1000. Please try again in 7m12s."
    await wire.whole(429, error(words, "rate_limit_exceeded", "requests"), Retry_After="432")


async def vllm(wire: Wire) -> None:
    """vLLM's fields of its own, and its thoughts under the newer name."""
    begins = {"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": []}
    chunk = {"id": "c", "prompt_token_ids": None, "kv_transfer_params": None, "usage": {"prompt_tokens": 10}}
    choice = {"index": 0, "delta": {"content": "Hello."}, "logprobs": None, "stop_reason": None, "token_ids": [1]}
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": None}
    await send(
        wire, event(begins), event({"reasoning": "Hm."}), data({**chunk, "choices": [choice]}), event({}, "stop"),
        data({"choices": [], "usage": usage}), DONE,
    )  # fmt: skip


async def tags(wire: Wire) -> None:
    """LM Studio's thoughts in the text."""
    pieces = ("<", "think", ">Let me ", "think.<", "/think>", "\n\n", "It is 42: ", "`<think>x</think>`.")
    await send(wire, *(event({"content": one}) for one in pieces), event({}, "stop"), DONE)


async def tags_unclosed(wire: Wire) -> None:
    await send(wire, event({"content": "<think>Let me think, and thi"}), event({}, "stop"), DONE)


async def lm_studio_error(wire: Wire) -> None:
    """LM Studio's error, in an event of that name."""
    failed = b'event: error\ndata: {"error":{"message":"The model has crashed."}}\n\n'
    await send(wire, event({"content": "so far "}), failed)


SCRIPTS: dict[str, Callable[[Wire], Awaitable[None]]] = {
    script.__name__.replace("_", "-"): script
    for script in (
        plain, processing, fails_midway, fails_in_choice, fails_without_words, fails_at_once, parts, calls, groq,
        groq_too_large, groq_limit, vllm, tags, tags_unclosed, lm_studio_error,
    )
}  # fmt: skip


@contextmanager
def running(dialect: str) -> Iterator[DialectServer]:
    """A server for as long as the block lasts."""
    server = DialectServer(dialect)
    server.start()
    try:
        yield server
    finally:
        server.close()
