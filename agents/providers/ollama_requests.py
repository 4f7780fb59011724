"""A request in the form of Ollama's own API. Pure."""

from typing import Any

import msgspec

from agents.providers.base import ChatMessage, ChatRequest, ProviderSpec

Body = dict[str, Any]


def body(request: ChatRequest, spec: ProviderSpec) -> Body:
    """The request, with thoughts that were kept for this provider."""
    system = (ChatMessage("system", request.system),) if request.system else ()
    said: Body = {
        "model": request.model,
        "messages": [_message(one, spec) for one in (*system, *request.messages)],
        "stream": True,
    }
    if request.tools:
        said["tools"] = [{"type": "function", "function": offered} for offered in request.tools]
    if options := _options(request):
        said["options"] = options
    return said


def _options(request: ChatRequest) -> Body:
    """What is asked of the answer; that a tool must be called, there is no word for."""
    asked = request.options
    said = {
        "num_predict": request.most_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stop": asked.stop or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def encoded(said: Body) -> bytes:
    """The request as JSON."""
    return msgspec.json.encode(said)


def _message(said: ChatMessage, spec: ProviderSpec) -> Body:
    """An entry of the conversation in their format, whose calls have objects for arguments."""
    message: Body = {"role": said.role, "content": said.content}
    if said.role == "tool":
        return {**message, "tool_name": said.name, "tool_call_id": said.call_id}
    if said.images:
        message["images"] = [image.data for image in said.images]
    if said.calls:
        message["tool_calls"] = [
            {"id": call.call_id, "function": {"name": call.name, "arguments": call.arguments or {}}}
            for call in said.calls
        ]
        if kept := said.kept_for(spec):
            message["thinking"] = kept["thoughts"]
    return message
