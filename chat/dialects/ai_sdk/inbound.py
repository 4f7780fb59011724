"""The last of the UI messages that a client sends: what a person says in it, or what it brings for a run that waits."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings

from chat.dialects import wishes
from chat.dialects.ai_sdk.serializers import KINDS
from chat.services import attachments
from chat.services.addressing import Address
from chat.services.client_tools import LONGEST_OUTPUT, Result
from chat.services.resuming import Wish
from chat.services.runs import OnConflict
from chat.services.saying import Said
from core import images
from core.errors import Invalid

MOST_PARTS = 5_000
MOST_WISHES = 64
_DATA_URL = re.compile(r"data:([\w.+/-]{1,100});base64,", re.ASCII)


@dataclass(slots=True)
class Brought:
    """What an assistant's message came back with: how far its client has read, and what it wants for its calls."""

    message_id: str = ""
    text: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    asked: dict[UUID, str] = field(default_factory=dict)
    cursor: int | None = None

    @property
    def run_id(self) -> UUID | None:
        """The run that the message is of: its id, unless the client chose one."""
        return uuid_of(self.message_id)


def uuid_of(text: str) -> UUID | None:
    """The id that a text is, None where it is none of ours."""
    try:
        return UUID(text)
    except ValueError:
        return None


def last(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Where the last message stands, and it; raises Invalid for what is no message of a person or the assistant."""
    messages = body["messages"]
    path = f"messages.{len(messages) - 1}"
    message = messages[-1]
    if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
        raise Invalid.field(f"{path}.role", "The last message must be the user's or the assistant's.", "invalid_choice")
    return path, message


def address_of(body: Mapping[str, Any]) -> Address | None:
    """With whom the chat is to be."""
    return next(((kind, body[kind]) for kind in KINDS if kind in body), None)


def said(body: Mapping[str, Any], path: str, message: Mapping[str, Any]) -> Said:
    """What a person says; raises Invalid, which names the part that does not fit."""
    texts, pictures = [], []
    for place, part in _parts(path, message):
        if part["type"] == "text":
            texts.append(_string(part.get("text"), f"{place}.text"))
        elif part["type"] == "file":
            pictures.append(_picture(part.get("url"), f"{place}.url"))
    text = "\n".join(texts)
    if not text.strip():
        raise Invalid.field(f"{path}.parts", "There must be a text that is not blank.", "blank")
    if len(text) > settings.MESSAGE_LIMIT:
        most = f"The text may have {settings.MESSAGE_LIMIT} characters at most."
        raise Invalid.field(f"{path}.parts", most, "max_length")
    if len(pictures) > attachments.MOST:
        raise Invalid.field(f"{path}.parts", f"There may be {attachments.MOST} files at most.", "max_length")
    return Said(
        text=text,
        model=body.get("model"),
        mood=body.get("mood", ""),
        attachments=pictures,
        tools=body.get("tools", ()),
        on_conflict=OnConflict(body["on_conflict"]),
    )


def brought(path: str, message: Mapping[str, Any]) -> Brought:
    """What an assistant's message brings; nothing of it is believed but results of the client's own calls."""
    found = Brought(_string(message.get("id", ""), f"{path}.id"))
    for place, part in _parts(path, message):
        if part["type"] == "text" and isinstance(part.get("text"), str):
            found.text.append(part["text"])
        elif part["type"] == "data-run":
            found.cursor = _cursor(part.get("data"))
        elif part["type"] == "dynamic-tool" or part["type"].startswith("tool-"):
            _call(found, place, part)
    if len(found.wishes) > MOST_WISHES:
        raise Invalid.field(f"{path}.parts", f"There may be {MOST_WISHES} approval responses at most.", "max_length")
    return found


def _call(found: Brought, place: str, part: Mapping[str, Any]) -> None:
    """What a call's part says: that there is an output, an error or a wish about its approval."""
    call_id = _string(part.get("toolCallId"), f"{place}.toolCallId")[:64]
    found.calls.append(call_id)
    match part.get("state"):
        case "output-available":
            output = part.get("output")
            if len(msgspec.json.encode(output)) > LONGEST_OUTPUT:
                raise Invalid.field(f"{place}.output", f"This may have {LONGEST_OUTPUT} bytes at most.", "max_length")
            found.results.append(Result(call_id, output))
        case "output-error":
            told = _string(part.get("errorText", ""), f"{place}.errorText")[:LONGEST_OUTPUT]
            found.results.append(Result(call_id, told or "It failed.", ok=False))
        case "approval-responded":
            wish = _wish(part.get("approval"), f"{place}.approval")
            found.wishes.append(wish)
            found.asked[wish.approval_id] = call_id
        case _:
            pass


def _wish(approval: Any, place: str) -> Wish:
    told = approval if isinstance(approval, dict) else {}
    try:
        approval_id = UUID(_string(told.get("id"), f"{place}.id"))
    except ValueError:
        raise Invalid.field(f"{place}.id", "This must be the approvalId of a request.") from None
    if not isinstance(told.get("approved"), bool):
        raise Invalid.field(f"{place}.approved", "This must be true or false.", "wrong_type")
    return wishes.wish(approval_id, told["approved"], _string(told.get("reason") or "", f"{place}.reason"))


def _picture(url: Any, place: str) -> dict[str, Any]:
    """An image as `attachments.read` takes it."""
    found = _DATA_URL.match(url) if isinstance(url, str) else None
    if found is None:
        raise Invalid.field(place, "Send files as data URLs in base64: data:image/png;base64,…", "no_data_url")
    if found[1] not in images.TYPES:
        raise Invalid.field(place, f"Files may be {', '.join(images.TYPES)}.", "invalid_choice")
    return {"media_type": found[1], "data": url[found.end() :]}


def _parts(path: str, message: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of a message, each with where it stands; raises Invalid."""
    parts = message.get("parts")
    if not isinstance(parts, list):
        raise Invalid.field(f"{path}.parts", "This must be a list.", "wrong_type")
    if len(parts) > MOST_PARTS:
        raise Invalid.field(f"{path}.parts", f"This may have {MOST_PARTS} items at most.", "max_length")
    for number, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise Invalid.field(f"{path}.parts.{number}", "A part must be an object with a type.", "wrong_type")
        yield f"{path}.parts.{number}", part


def _string(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise Invalid.field(place, "This must be a text.", "wrong_type")
    return value


def _cursor(data: Any) -> int | None:
    """The number of the last event that the client was sent, as its `data-run` part has it."""
    cursor = data.get("cursor") if isinstance(data, dict) else None
    return cursor if type(cursor) is int and 0 <= cursor <= 2**53 else None
