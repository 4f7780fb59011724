"""A request in the form of OpenAI's chat completions, as the services that speak it take it. Pure."""

import hashlib
import re
from typing import Any

import msgspec

from agents.providers import presets, profiles
from agents.providers.base import ANY_TOOL, ChatMessage, ChatRequest, ProviderSpec, ToolCall, ToolDefinition
from agents.providers.presets import Preset

OLDER, NEWER = "max_tokens", "max_completion_tokens"  # of an answer, with its thoughts: every server knows the older
_PLAIN = re.compile(r"[a-zA-Z0-9]+")
Body = dict[str, Any]


def body(request: ChatRequest, spec: ProviderSpec) -> Body:
    """The request, with thoughts that were kept for this provider where the service wants them again."""
    preset = presets.of(spec)
    system = (ChatMessage("system", request.system),) if request.system else ()
    said: Body = {
        "model": request.model,
        "messages": [_message(one, preset, spec) for one in (*system, *request.messages)],
        "stream": True,
    }
    if not preset.counts_unasked:
        said["stream_options"] = {"include_usage": True}
    if request.tools:
        said["tools"] = [_tool(one) for one in request.tools]
    said |= _options(request)
    if request.most_tokens is not None:
        said[NEWER if profiles.host(spec.base_url) in presets.NEWER_LIMIT else OLDER] = request.most_tokens
    return said


def _options(request: ChatRequest) -> Body:
    asked = request.options
    said: Body = {"temperature": asked.temperature, "top_p": asked.top_p, "stop": asked.stop or None}
    if asked.call and request.tools:
        named = {"type": "function", "function": {"name": asked.call}}
        said["tool_choice"] = "required" if asked.call == ANY_TOOL else named
    return {name: value for name, value in said.items() if value is not None}


def without(said: Body, refused: str) -> Body | None:
    """The request without the option that a server does not know, by its words; None where they name none of ours."""
    if "stream_options" in said and "stream_options" in refused:
        return {name: value for name, value in said.items() if name != "stream_options"}
    if OLDER in said and OLDER in refused:
        return {NEWER if name == OLDER else name: value for name, value in said.items()}
    return None


def _message(said: ChatMessage, preset: Preset, spec: ProviderSpec) -> Body:
    """An entry of the conversation in their format."""
    if said.role == "tool":
        return {"role": "tool", "tool_call_id": _id(said.call_id, preset), "content": said.content}
    if said.images:
        return {"role": said.role, "content": _parts(said)}
    if not said.calls:
        return {"role": said.role, "content": said.content}
    message = {"role": said.role, "content": said.content or None, "tool_calls": [_call(c, preset) for c in said.calls]}
    if preset.told_again:
        message[preset.told_again] = (said.kept_for(spec) or {"thoughts": ""})["thoughts"]
    return message


def _parts(said: ChatMessage) -> list[Body]:
    """The images, then the text."""
    urls = (f"data:{image.media_type};base64,{image.data}" for image in said.images)
    parts: list[Body] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [*parts, {"type": "text", "text": said.content}] if said.content else parts


def _call(call: ToolCall, preset: Preset) -> Body:
    """A call; its arguments as JSON, since servers that read them refuse a request with any that are none."""
    arguments = msgspec.json.encode(call.arguments or {}).decode()
    return {
        "id": _id(call.call_id, preset),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _id(call_id: str, preset: Preset) -> str:
    """The id, or one made of it where the service would not take it: the same for a call and for its result."""
    length = preset.call_id_length
    if not length or (len(call_id) == length and _PLAIN.fullmatch(call_id)):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:length]


def _tool(offered: ToolDefinition) -> Body:
    return {"type": "function", "function": offered}
