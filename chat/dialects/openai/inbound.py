"""A request of this dialect in the domain's terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.conf import settings

from agents.providers.base import ANY_TOOL, Options
from agents.tools import client
from chat.services import quoting
from chat.services.client_tools import Result
from chat.services.quoting import Call, Line
from core import images, jsonbody
from core.errors import Invalid, TooLarge
from core.jsonbody import BadJSON

LONGEST_ID = 200
DATA = "data:"
SYSTEM = ("system", "developer")


class _Text(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class _Refusal(msgspec.Struct, tag_field="type", tag="refusal"):
    refusal: str


class _Url(msgspec.Struct):
    url: str


class _Image(msgspec.Struct, tag_field="type", tag="image_url"):
    image_url: _Url


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    function: _Function


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Text | _Image | _Refusal] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """All texts of its content."""
        if not isinstance(self.content, list):
            return self.content or ""
        return "\n".join(one.refusal if isinstance(one, _Refusal) else one.text for one in self._said())

    def _said(self) -> list[_Text | _Refusal]:
        return [one for one in self.content or () if isinstance(one, _Text | _Refusal)]

    @property
    def urls(self) -> list[str]:
        """The addresses of the images in its content."""
        parts = self.content if isinstance(self.content, list) else []
        return [one.image_url.url for one in parts if isinstance(one, _Image)]


class _Definition(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    function: _Definition
    type: Literal["function"] = "function"


class _Named(msgspec.Struct):
    name: str


class _Choice(msgspec.Struct):
    function: _Named
    type: Literal["function"] = "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks for, after the client's system prompt and its conversation."""

    system: str
    lines: Sequence[Line]
    tools: list[dict[str, Any]]
    most_tokens: int | None
    options: Options
    session_id: UUID | None
    metadata: Mapping[str, Any]

    @property
    def results(self) -> list[Result]:
        """What the client brings last, after the calls that it was told."""
        brought: list[Result] = []
        for line in reversed(self.lines):
            if line.role != "tool":
                break
            brought.insert(0, Result(line.call_id, line.text))
        return brought


def read(body: Mapping[str, Any], header: str | None) -> Asked:
    """What a body asks for that `CompletionRequest` has validated; `header` may name its session. Raises Invalid."""
    said = _convert(body["messages"], list[_Message], "messages")
    metadata = dict(body.get("metadata") or {})
    session_id = _session(metadata.pop("session_id", None) or header)
    tools, call = _tools(body)
    if not any(one.role == "user" for one in said):
        raise Invalid.field("messages", "There must be a message of the user.", "required")
    return Asked(
        system="\n\n".join(one.text for one in said if one.role in SYSTEM and one.text.strip()),
        lines=_lines(said, session_id),
        tools=tools,
        most_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        options=Options(body.get("temperature"), body.get("top_p"), tuple(body.get("stop") or ()), call),
        session_id=session_id,
        metadata=metadata,
    )


def _session(named: Any) -> UUID | None:
    if named is None:
        return None
    try:
        return UUID(named)
    except (ValueError, TypeError, AttributeError):
        raise Invalid.field("metadata.session_id", "This must be the id of a session.") from None


def _line(place: int, said: _Message) -> Line:
    """A message as an entry of a conversation; raises Invalid."""
    where = f"messages.{place}"
    if said.role == "tool" and not said.tool_call_id:
        raise Invalid.field(f"{where}.tool_call_id", "This names the call whose result it is.", "required")
    if said.urls and said.role != "user":
        raise Invalid.field(f"{where}.content", "Images come with the user's messages.")
    if said.role == "user" and not (said.text.strip() or said.urls):
        raise Invalid.field(f"{where}.content", "This may not be blank.", "blank")
    if len(said.text) > settings.MESSAGE_LIMIT and said.role == "user":
        raise Invalid.field(
            f"{where}.content", f"This may have {settings.MESSAGE_LIMIT} characters at most.", "max_length"
        )
    return Line(
        said.role,
        said.text,
        [_image(f"{where}.content", url) for url in said.urls],
        [_call(where, one) for one in said.tool_calls or ()],
        said.tool_call_id or "",
    )


def _image(where: str, url: str) -> dict[str, Any]:
    """An image as it came in its address, or where it is."""
    if url[: len(DATA)].lower() != DATA:
        return {"url": url}
    head, _, data = url[len(DATA) :].partition(",")
    media_type, _, coding = head.partition(";")
    if coding.lower() != "base64" or media_type.lower() not in images.TYPES:
        kinds = ", ".join(images.TYPES)
        raise Invalid.field(where, f"A data URL has one of the types {kinds}, and base64: data:image/png;base64,…")
    return {"media_type": media_type.lower(), "data": data}


def _call(where: str, said: _Call) -> Call:
    """A call as the client says that it was made."""
    if not 0 < len(said.id) <= LONGEST_ID:
        raise Invalid.field(f"{where}.tool_calls", f"An id has 1 to {LONGEST_ID} characters.")
    return Call(said.id, said.function.name, _arguments(said.function.arguments))


def _arguments(text: str) -> dict[str, Any]:
    """The arguments of a call, none where they cannot be read: a model wrote them, or so its client says."""
    try:
        found = jsonbody.loads(text.encode(), limit=settings.BODY_LIMIT)
    except (BadJSON, TooLarge):
        return {}
    return found if isinstance(found, dict) else {}


def _tools(body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The client's tools, and what of `tool_choice` the model must call; raises Invalid."""
    tools = _convert(body.get("tools") or [], list[_Tool], "tools")
    for place, one in enumerate(tools):
        if len(one.function.description or "") > client.LONGEST_DESCRIPTION:
            raise Invalid.field(
                f"tools.{place}.function.description",
                f"This may have {client.LONGEST_DESCRIPTION} characters at most.",
                "max_length",
            )
    offered = [_offered(one.function) for one in tools]
    choice = body.get("tool_choice")
    if choice == "none":
        return [], ""
    if choice in (None, "auto"):
        return offered, ""
    if choice == "required":
        if not offered:
            raise Invalid.field("tool_choice", "Send the tools of which one is to be called.")
        return offered, ANY_TOOL
    if not isinstance(choice, dict):
        raise Invalid.field("tool_choice", "This is auto, none, required, or a function of `tools`.")
    name = _convert(choice, _Choice, "tool_choice").function.name
    if all(name != one["name"] for one in offered):
        raise Invalid.field("tool_choice", f"There is no tool {name[:64]!r} among `tools`.")
    return offered, name


def _offered(one: _Definition) -> dict[str, Any]:
    parameters = {} if one.parameters is None else {"parameters": one.parameters}
    return {"name": one.name, "description": one.description or "", **parameters}


def _convert(value: Any, type_: Any, field: str) -> Any:
    """The value as its type; raises Invalid that names the place."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        told, _, path = str(error).partition(" - at `$")
        place = path.rstrip("`").replace("[", ".").replace("]", "")
        raise Invalid.field(f"{field}{place}", told) from None


def _lines(said: Sequence[_Message], session_id: UUID | None) -> list[Line]:
    """The conversation as far as it counts: in a session of ours what is to be answered alone. Raises Invalid."""
    lines = [_line(place, one) for place, one in enumerate(said) if one.role not in SYSTEM]
    if session_id is None:
        return lines
    _, message, later = quoting.split(lines)
    return [message, *later]
