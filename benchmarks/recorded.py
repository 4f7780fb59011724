"""Streams as each provider sends them, a chunk a read: what the benchmark of the adapters feeds them with."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

WORD = " wörd{:06d}"  # a token of an answer, as long as tokens are with the blank before them


@dataclass(frozen=True, slots=True)
class Recording:
    """A provider's stream: how it begins, what carries a word of thought and of the answer, and how it ends."""

    kind: str
    media_type: str
    begins: tuple[bytes, ...]
    thought: Callable[[str], bytes]
    between: tuple[bytes, ...]
    word: Callable[[str], bytes]
    ends: tuple[bytes, ...]

    def pieces(self, count: int) -> Iterator[bytes]:
        """What comes off the socket for so many words, of which one in ten is thought before the others."""
        thoughts = count // 10
        yield from self.begins
        for number in range(thoughts):
            yield self.thought(WORD.format(number))
        yield from self.between
        for number in range(thoughts, count):
            yield self.word(WORD.format(number))
        yield from self.ends


def _data(value: object, name: str = "") -> bytes:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + f"data: {body}\n\n".encode()


def _openai(delta: dict[str, str | None], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-C9yvKqj2pHn4ExZ0yq7mZ1", "object": "chat.completion.chunk", "created": 1763715600}
    more = {"model": "gpt-5-mini-2025-08-07", "service_tier": "default", "system_fingerprint": "fp_560af6e559"}
    return _data({**head, **more, "choices": [choice], "usage": None, "obfuscation": "mVd0jUGkaA"})


def _anthropic(kind: str, **fields: object) -> bytes:
    return _data({"type": kind, **fields}, kind)


def _block(index: int, begins: dict[str, str]) -> bytes:
    return _anthropic("content_block_start", index=index, content_block=begins)


def _delta(index: int, kind: str, field: str, text: str) -> bytes:
    return _anthropic("content_block_delta", index=index, delta={"type": kind, field: text})


def _google(text: str, *, thought: bool = False, finish: str | None = None) -> bytes:
    part = {"text": text, **({"thought": True} if thought else {})}
    candidate = {"content": {"parts": [part], "role": "model"}, "index": 0}
    counts = {"promptTokenCount": 12, "candidatesTokenCount": 40, "totalTokenCount": 52, "thoughtsTokenCount": 9}
    more = {"modelVersion": "gemini-2.5-flash", "responseId": "k3EgaZ_cFbWzvdIP6Z2l8Aw"}
    ended = {"finishReason": finish} if finish else {}
    return _data({"candidates": [{**candidate, **ended}], "usageMetadata": counts, **more}).replace(
        b"\n\n", b"\r\n\r\n"
    )


def _ollama(message: dict[str, str], **fields: object) -> bytes:
    said = {"role": "assistant", "content": "", **message}
    head = {"model": "qwen3:8b", "created_at": "2026-11-21T08:52:19.385406455Z"}
    body = json.dumps({**head, "message": said, "done": False, **fields}, ensure_ascii=False, separators=(",", ":"))
    return body.encode() + b"\n"


_USAGE = {"prompt_tokens": 12, "completion_tokens": 40, "total_tokens": 52}
_STARTED = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 12}}
RECORDINGS = (
    Recording(
        "openai",
        "text/event-stream",
        (_openai({"role": "assistant", "content": ""}),),
        lambda text: _openai({"reasoning_content": text, "content": None}),
        (),
        lambda text: _openai({"content": text}),
        (_openai({}, "stop"), _data({"choices": [], "usage": _USAGE}), b"data: [DONE]\n\n"),
    ),
    Recording(
        "anthropic",
        "text/event-stream",
        (
            _anthropic("message_start", message=_STARTED),
            _block(0, {"type": "thinking", "thinking": "", "signature": ""}),
            _anthropic("ping"),
        ),
        lambda text: _delta(0, "thinking_delta", "thinking", text),
        (
            _delta(0, "signature_delta", "signature", "c2lnbmF0dXJl"),
            _anthropic("content_block_stop", index=0),
            _block(1, {"type": "text", "text": ""}),
        ),
        lambda text: _delta(1, "text_delta", "text", text),
        (
            _anthropic("content_block_stop", index=1),
            _anthropic("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 40}),
            _anthropic("message_stop"),
        ),
    ),
    Recording(
        "google",
        "text/event-stream",
        (),
        lambda text: _google(text, thought=True),
        (),
        _google,
        (_google("", finish="STOP"),),
    ),
    Recording(
        "ollama",
        "application/x-ndjson",
        (),
        lambda text: _ollama({"thinking": text}),
        (),
        lambda text: _ollama({"content": text}),
        (_ollama({}, done=True, done_reason="stop", prompt_eval_count=12, eval_count=40),),
    ),
)
