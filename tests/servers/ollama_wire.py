"""The shapes of Ollama's own API: lines of its streams, its errors, and its rules for a request."""

import base64
import binascii
import json
from collections.abc import Iterator

NDJSON = "application/x-ndjson"
WHEN = "2026-11-21T08:52:19.385406455-07:00"


def line(message: dict | None = None, **fields: object) -> bytes:
    """A line of a stream."""
    said = {"role": "assistant", "content": "", **(message or {})}
    body = {"model": "m", "created_at": WHEN, "message": said, "done": False, **fields}
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"


def text(*pieces: str) -> bytes:
    """Words of the answer, a line for each piece."""
    return b"".join(line({"content": piece}) for piece in pieces)


def thinking(*pieces: str) -> bytes:
    """Thoughts, a line for each piece."""
    return b"".join(line({"thinking": piece}) for piece in pieces)


def call(name: str, arguments: object, call_id: str = "", index: int = 0) -> dict:
    """A call, whole as they always are; only newer servers send ids."""
    function = {"index": index, "name": name, "arguments": arguments}
    return {"id": call_id, "function": function} if call_id else {"function": function}


def calls(*called: dict) -> bytes:
    """A line with calls."""
    return line({"tool_calls": list(called)})


def end(reason: str = "stop", **fields: object) -> bytes:
    """The last line, with the counts."""
    durations = {"total_duration": 4883583458, "load_duration": 1334875, "prompt_eval_duration": 342546000}
    counts = {"prompt_eval_count": 10, "eval_count": 7, "eval_duration": 4535599000}
    return line(done=True, done_reason=reason, **{**durations, **counts, **fields})


def error(words: str) -> bytes:
    """The body of a refusal, and a line that ends a stream."""
    return json.dumps({"error": words}).encode()


def faults(body: dict, capabilities: list[str]) -> Iterator[str]:
    """What the API refuses a request for, in its words."""
    name = body.get("model")
    if "completion" not in capabilities:
        yield f'"{name}" does not support chat'
    if body.get("think") and "thinking" not in capabilities:
        yield f'"{name}" does not support thinking'
    if body.get("tools") and "tools" not in capabilities:
        yield f"registry.ollama.ai/library/{name} does not support tools"
    if not isinstance((body.get("options") or {}).get("num_ctx", 1), int):
        yield 'option "num_ctx" must be of type integer'
    for message in body.get("messages", []):
        yield from _faults_of(message)


def _faults_of(message: dict) -> Iterator[str]:
    if message.get("role") not in ("system", "user", "assistant", "tool"):
        yield "invalid role"
    if not isinstance(message.get("content", ""), str):
        yield "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
    for image in message.get("images", []):
        try:
            base64.b64decode(image, validate=True)
        except (binascii.Error, TypeError):
            yield "illegal base64 data at input byte 0"
    for called in message.get("tool_calls", []):
        if not isinstance(called["function"].get("arguments"), dict):
            yield "json: cannot unmarshal string into Go struct field .function.arguments of type api.ToolCallFunctionA"
