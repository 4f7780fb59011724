"""A request in the form that Anthropic's Messages API takes. Pure.

Its rules: the roles take turns, beginning with the user; what the tools gave stands first in the message after their
calls; no text is blank; thoughts go back as they came; and a conversation with calls in it needs tools.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from agents.providers import profiles
from agents.providers.base import ANY_TOOL, ChatMessage, ChatRequest, Image, Options, ProviderSpec

MOST_TOKENS = 8192  # of an answer, where the model's own limit is not known
LEAST_THINKING = 1024  # tokens, by their rules
LEFT_OUT = "…"  # in the place of a user's words that a conversation began with and that are not told any more
CACHED = {"type": "ephemeral"}
_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
Block = dict[str, Any]


def body(request: ChatRequest, spec: ProviderSpec, *, thinking: int = 0) -> bytes:
    """The request as JSON, with thoughts that were kept for this provider; the model may think for so many tokens.

    Thoughts count among the tokens of an answer: of one that is limited at most half are for them.
    """
    most = profiles.profile(request.model).most_tokens or MOST_TOKENS
    if request.most_tokens is not None:
        most = min(most, request.most_tokens)
        thinking = min(max(thinking, LEAST_THINKING), most // 2) if thinking else 0
        thinking = thinking if thinking >= LEAST_THINKING else 0
    said: dict[str, Any] = {
        "model": request.model,
        "max_tokens": most,
        "messages": _messages(request, spec),
        "stream": True,
        **_options(request.options),
    }
    if thinking and _may_think(request, spec):
        said["thinking"] = {"type": "enabled", "budget_tokens": max(thinking, LEAST_THINKING)}
    own = [one.content for one in request.messages if one.role == "system"]
    if system := [_text(words) for words in (request.system, *own) if words.strip()]:
        said["system"] = _marked(system)
    if request.tools:
        tools = [{"name": t.name, "description": t.description, "input_schema": t.parameters} for t in request.tools]
        said["tools"], said["tool_choice"] = _marked(tools), _choice(request.options.call)
    elif called := {_name(call.name) for one in request.messages for call in one.calls}:
        schema = {"type": "object"}
        said["tools"] = [{"name": name, "input_schema": schema} for name in sorted(called)]
        said["tool_choice"] = {"type": "none"}
    return msgspec.json.encode(said)


def _options(asked: Options) -> Block:
    """What is asked of the answer, in their words: temperatures end at 1 there."""
    said: Block = {
        "temperature": None if asked.temperature is None else min(asked.temperature, 1.0),
        # Newer models take one of the two.
        "top_p": asked.top_p if asked.temperature is None else None,
        "stop_sequences": [one for one in asked.stop if one.strip()] or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _choice(call: str) -> Block:
    if not call:
        return {"type": "auto"}
    return {"type": "any"} if call == ANY_TOOL else {"type": "tool", "name": call}


def _may_think(request: ChatRequest, spec: ProviderSpec) -> bool:
    """Whether the model is known to think, and a turn that it goes on with began with thoughts of this provider.

    Where it is told which tool to call, or how daring to be, it may not. A turn lasts from words of the user to the
    next that do not stand with the results of tools.
    """
    if "reasoning" not in profiles.profile(request.model).capabilities:
        return False
    if request.options.call or request.options.temperature is not None or request.options.top_p is not None:
        return False
    first: ChatMessage | None = None
    role = ""
    for said in request.messages:
        if said.role == "assistant":
            first = first or said
        elif said.role == "user" and role != "tool":
            first = None
        role = role if (role, said.role) == ("tool", "user") else said.role
    return first is None or not first.calls or bool(first.kept_for(spec))


def _marked(blocks: list[Block]) -> list[Block]:
    """The blocks with the mark up to which they are cached: it is the same beginning with every message."""
    return [*blocks[:-1], {**blocks[-1], "cache_control": CACHED}]


def _messages(request: ChatRequest, spec: ProviderSpec) -> list[Block]:
    """The conversation, neighbours of one role in one message."""
    messages: list[Block] = []
    for said in request.messages:
        role = "assistant" if said.role == "assistant" else "user"
        content = [] if said.role == "system" else list(_blocks(said, spec))
        if not content:
            continue
        if not messages and role == "assistant":
            messages.append({"role": "user", "content": [_text(LEFT_OUT)]})
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        else:
            messages.append({"role": role, "content": content})
    return messages


def _blocks(said: ChatMessage, spec: ProviderSpec) -> Iterator[Block]:
    """What an entry of the conversation says, in their format."""
    if said.role == "tool":
        given = {"content": said.content} if said.content else {}
        yield {"type": "tool_result", "tool_use_id": said.call_id, **given}
        return
    yield from map(_image, said.images)
    yield from _spoken(said.content, said.kept_for(spec) or ())
    for call in said.calls:
        yield {"type": "tool_use", "id": call.call_id, "name": _name(call.name), "input": call.arguments or {}}


def _spoken(text: str, thoughts: list[Block] | tuple[()]) -> Iterator[Block]:
    """The text, with thoughts where they were thought; nothing blank, which is refused."""
    begin = 0
    for thought in thoughts:
        if (before := text[begin : thought["at"]]).strip():
            yield _text(before)
        begin = thought["at"]
        yield thought["block"]
    if text[begin:].strip():
        yield _text(text[begin:])


def _image(shown: Image) -> Block:
    return {"type": "image", "source": {"type": "base64", "media_type": shown.media_type, "data": shown.data}}


def _text(words: str) -> Block:
    return {"type": "text", "text": words}


def _name(name: str) -> str:
    """The name as theirs may be: another provider's model may have called what no tool can be called."""
    return _NO_NAME.sub("_", name)[:64] or "_"
