"""What a run said and did, as the parts of its message; and the same as a model reads it. Pure functions.

A part is {type: text | reasoning, text}, {type: tool_call, call_id, name, arguments} or {type: tool_result, call_id,
name, ok, summary, content}; a person's message has images too: {type: image, attachment_id, media_type, width, height,
url}. Results follow the calls of their step, in the model's order. While a run is under way the first call of a step
may carry `kept`: what its provider must be told again with it. No reader is shown that.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from agents.providers.base import ChatMessage, Image, Kept, ToolCall

Part = dict[str, Any]
TOOLS = ("tool_call", "tool_result")


def text(parts: Iterable[Part], kind: str = "text") -> str:
    """The text of an answer, or what was thought before it."""
    return "".join(part["text"] for part in parts if part["type"] == kind)


def images(parts: Iterable[Part]) -> tuple[Image, ...]:
    """The images of a person's message, which are yet to be read in."""
    return tuple(Image(part["media_type"], "", part["attachment_id"]) for part in parts if part["type"] == "image")


def shown(parts: Iterable[Part]) -> list[Part]:
    """The parts as they are stored with the answer, without what was kept for the provider alone."""
    return [{name: value for name, value in part.items() if name != "kept"} for part in parts]


def durable(parts: Sequence[Part]) -> list[Part]:
    """What a new attempt builds on: all up to the last call or result; a step that was cut short is asked for anew."""
    ends = [place for place, part in enumerate(parts) if part["type"] in TOOLS]
    return list(parts[: ends[-1] + 1]) if ends else []


def open_calls(parts: Iterable[Part]) -> list[str]:
    """The ids of calls that have no result yet."""
    calls: dict[str, None] = {}
    for part in parts:
        if part["type"] == "tool_call":
            calls[part["call_id"]] = None
        elif part["type"] == "tool_result":
            calls.pop(part["call_id"], None)
    return list(calls)


def to_messages(parts: Iterable[Part]) -> list[ChatMessage]:
    """An answer as the model is told of it: what it said and called, then what the tools gave; no thoughts."""
    messages: list[ChatMessage] = []
    said, calls = "", list[ToolCall]()
    kept: Kept | None = None
    for part in parts:
        match part["type"]:
            case "text":
                said += part["text"]
            case "tool_call":
                calls.append(ToolCall(part["call_id"], part["name"], part["arguments"]))
                if "kept" in part:
                    kept = Kept(**part["kept"])
            case "tool_result":
                if said or calls:
                    messages.append(ChatMessage("assistant", said, tuple(calls), kept=kept))
                    said, calls, kept = "", [], None
                content = str(part.get("content") or part["summary"])
                messages.append(ChatMessage("tool", content, call_id=part["call_id"], name=part["name"]))
    if said or calls:
        messages.append(ChatMessage("assistant", said, tuple(calls), kept=kept))
    return messages


def told(parts: Sequence[Part]) -> list[ChatMessage]:
    """An earlier answer as a later turn is told of it: a call that never got its result is left out."""
    unanswered = set(open_calls(parts))
    return to_messages(part for part in parts if part.get("call_id") not in unanswered)
