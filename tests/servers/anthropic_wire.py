"""The shapes of Anthropic's Messages API: events of its streams, its errors, and its rules for a request."""

import json
import re
from collections.abc import Iterator

TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+$")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}$")
THOUGHTS = ("thinking", "redacted_thinking")


def event(kind: str, **fields: object) -> bytes:
    """An event of a stream, which has its name twice."""
    body = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {body}\n\n".encode()


def start(**usage: int) -> bytes:
    """The beginning of an answer."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    return event("message_start", message={**message, "usage": {"input_tokens": 10, "output_tokens": 1, **usage}})


def block(index: int, begins: dict, *deltas: dict) -> bytes:
    """A block with its deltas, whole."""
    said = [event("content_block_start", index=index, content_block=begins)]
    said += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*said, event("content_block_stop", index=index)])


def text(index: int, *pieces: str) -> bytes:
    """A block of text."""
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def thinking(index: int, signature: str, *pieces: str) -> bytes:
    """A block of thinking with its signature."""
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    begins = {"type": "thinking", "thinking": "", "signature": ""}
    return block(index, begins, *deltas, {"type": "signature_delta", "signature": signature})


def redacted(index: int, sealed: str) -> bytes:
    """A block of thinking that nobody may read."""
    return block(index, {"type": "redacted_thinking", "data": sealed})


def tool_use(index: int, call_id: str, name: str, *pieces: str) -> bytes:
    """A call with its arguments in pieces."""
    begins = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    return block(index, begins, *({"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)))


def end(reason: str = "end_turn", **usage: int) -> bytes:
    """The end of an answer."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return event("message_delta", delta=delta, usage={"output_tokens": 7, **usage}) + event("message_stop")


def error(kind: str, message: str) -> bytes:
    """The body of a refusal."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}).encode()


def faults(headers: dict[str, str], body: dict) -> Iterator[str]:
    """What the API refuses a request for, in its words as far as they are known."""
    if headers.get("anthropic-version") != "2023-06-01":
        yield "anthropic-version: header is required"
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        yield "max_tokens: Field required"
    messages = body.get("messages") or []
    if not messages or messages[0]["role"] != "user":
        yield "messages: first message must use the user role"
    blocks = [*(body.get("system") or []), *(one for message in messages for one in message["content"])]
    if any(one["type"] == "text" and not one["text"].strip() for one in blocks):
        yield "messages: text content blocks must contain non-whitespace text"
    if sum("cache_control" in one for one in [*blocks, *body.get("tools", [])]) > 4:
        yield "A maximum of 4 blocks with cache_control may be provided."
    if "thinking" in body:
        yield from _faults_of_thinking(body, messages)
    yield from _faults_of_turns(messages, bool(body.get("tools")))


def _faults_of_thinking(body: dict, messages: list[dict]) -> Iterator[str]:
    if not 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"]:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`, which must be at least 1024"
    turn: list[dict] = []
    for message in messages:
        kinds = {block["type"] for block in message["content"]}
        turn = [] if message["role"] == "user" and "tool_result" not in kinds else [*turn, message]
    if turn and turn[0]["content"][0]["type"] not in THOUGHTS:
        yield "Expected `thinking` or `redacted_thinking`, but found `tool_use`"


def _faults_of_turns(messages: list[dict], offered: bool) -> Iterator[str]:
    open_calls: set[str] = set()
    for before, message in zip([None, *messages], messages, strict=False):
        content = message["content"]
        if before and before["role"] == message["role"]:
            yield "messages: roles must alternate between user and assistant"
        if not content:
            yield "messages: all messages must have non-empty content"
        kinds = [one["type"] for one in content]
        results = [one["tool_use_id"] for one in content if one["type"] == "tool_result"]
        if set(results) != open_calls or kinds[: len(results)] != ["tool_result"] * len(results):
            yield "`tool_use` ids were found without `tool_result` blocks immediately after"
        calls = [one for one in content if one["type"] == "tool_use"]
        if (calls or results) and not offered:
            yield "Requests which include `tool_use` or `tool_result` blocks must define tools"
        if any(not TOOL_ID.match(one["id"]) or not TOOL_NAME.match(one["name"]) for one in calls):
            yield "tool_use: String should match pattern '^[a-zA-Z0-9_-]+$'"
        if len({one["id"] for one in calls}) != len(calls):
            yield "`tool_use` ids must be unique"
        if calls and any(kind in THOUGHTS for kind in kinds[kinds.index("tool_use") :]):
            yield "thoughts come before calls"
        open_calls = {one["id"] for one in calls}
    if open_calls:
        yield "`tool_use` ids were found without `tool_result` blocks immediately after"
