"""RunAgentInput: its fields, leniently, and what of them is heard.

Of the messages only the last is taken as the person's, and tool messages as what came of calls that the client was
asked to make. All else that they say has no effect: the conversation is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from agents.tools import client
from chat.dialects import wishes
from chat.models import Run
from chat.services import attachments
from chat.services.client_tools import LONGEST_OUTPUT, Result
from chat.services.conversations import LONGEST_CLIENT_ID
from chat.services.resuming import Wish
from chat.services.runs import OnConflict
from chat.services.saying import Said
from companions.models import Mood
from core.errors import Invalid
from core.serializers import LenientSerializer

MOST_MESSAGES = 10_000
MOST_ANSWERS = 64
LONGEST_RUN_ID = 200
MESSAGE_ID = "client_message_id"
"""The metadata of a message under which is kept what its client calls it."""


@extend_schema_serializer(component_name="AgUiTool")
class ToolIn(LenientSerializer):
    """A tool whose calls the client makes."""

    name = serializers.CharField(max_length=64, help_text="A-Z a-z 0-9 _ -, and of no tool that runs on the server.")
    description = serializers.CharField(max_length=client.LONGEST_DESCRIPTION, allow_blank=True, default="")
    parameters = serializers.DictField(
        required=False, allow_null=True, help_text="The JSON Schema of its arguments, an object."
    )


@extend_schema_serializer(component_name="AgUiAnswer")
class AnswerIn(LenientSerializer):
    """What somebody says to an interrupt."""

    interruptId = serializers.CharField(max_length=200)
    status = serializers.ChoiceField(choices=[("resolved", "resolved"), ("cancelled", "cancelled")])
    payload = serializers.JSONField(
        required=False, allow_null=True, help_text="`{approved, reason}`; without `approved` nothing is decided."
    )


class PropsIn(LenientSerializer):
    """What may be said beside a message."""

    model = serializers.CharField(max_length=200, required=False, allow_null=True)
    mood = serializers.ChoiceField(choices=Mood.choices, required=False, allow_null=True)
    onConflict = serializers.ChoiceField(choices=[(one.value, one.value) for one in OnConflict], default="reject")
    wait = serializers.FloatField(
        min_value=0, max_value=600, default=0.0, help_text="Seconds that the stream waits for an approval."
    )


class RunAgentInput(LenientSerializer):
    """A request to run an agent; `state`, `context` and `parentRunId` are taken and have no effect."""

    threadId = serializers.CharField(max_length=LONGEST_CLIENT_ID, trim_whitespace=False)
    runId = serializers.CharField(max_length=LONGEST_RUN_ID, trim_whitespace=False)
    protocolVersion = serializers.CharField(max_length=20, required=False, allow_null=True, allow_blank=True)
    messages = serializers.ListField(child=serializers.DictField(), max_length=MOST_MESSAGES)
    tools = serializers.ListField(child=ToolIn(), required=False, allow_null=True, max_length=client.MOST)
    forwardedProps = serializers.JSONField(
        required=False, allow_null=True, help_text="Of it `model`, `mood`, `onConflict` and `wait` are heeded."
    )
    resume = serializers.ListField(child=AnswerIn(), required=False, allow_null=True, max_length=MOST_ANSWERS)

    def validate_forwardedProps(self, value: Any) -> dict[str, Any]:
        """What is heeded of it."""
        props: dict[str, Any] = PropsIn().run_validation(value if isinstance(value, dict) else {})
        return props


@dataclass(frozen=True, slots=True)
class Heard:
    """What a request says: `said` is None where its last message is not the person's."""

    thread_id: str
    run_id: str
    declared: bool
    messages: Sequence[Mapping[str, Any]]
    wait: float = 0.0
    said: Said | None = None
    message_id: str = ""
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def is_new(self, run: Run | None) -> bool:
        """Whether something is said that the thread's last run does not answer, or asked again once that has ended."""
        if self.said is None:
            return False
        if run is None:
            return True
        same = bool(self.message_id) and run.message.metadata.get(MESSAGE_ID) == self.message_id
        return not same or (run.ended and not self.answers)

    def wishes(self, open_: Sequence[UUID]) -> list[Wish]:
        """What the answers wish of the approvals that are open; raises Invalid where one has no answer."""
        left = [str(one) for one in open_ if str(one) not in self.answers]
        if left:
            names = ", ".join(left)
            error = Invalid.field("resume", f"The thread waits for {names}: answer or cancel each.", "interrupt_open")
            raise Invalid(error.detail, errors=error.errors, extra={"interrupts": left})
        return [wish for one in open_ if (wish := _wish(one, self.answers[str(one)])) is not None]

    def named(self) -> list[UUID]:
        """The approvals that the answers name; raises Invalid for what is no id of one."""
        try:
            return [UUID(one) for one in self.answers]
        except ValueError:
            raise Invalid.field("resume", "An interruptId is the id of an interrupt as it was told.") from None

    def cancels(self, open_: Sequence[UUID]) -> bool:
        """Whether the person gives up one of the approvals that are open, and what waits for it with it."""
        return any(self.answers.get(str(one), {}).get("status") == "cancelled" for one in open_)

    def results(self, awaited: Sequence[str]) -> list[Result]:
        """What the client brings for calls that are awaited of it."""
        told = {one.get("toolCallId"): (place, one) for place, one in enumerate(self.messages) if _is_tool(one)}
        return [_result(call_id, *told[call_id]) for call_id in awaited if call_id in told]


def read(body: Any) -> Heard:
    """What a body says; raises ValidationError or Invalid, which name what does not fit."""
    fields = RunAgentInput.read(body)
    props = fields.get("forwardedProps") or PropsIn().run_validation({})
    messages = fields["messages"]
    last = messages[-1] if messages else {}
    said = None
    if last.get("role") == "user":
        said = _said(last, f"messages.{len(messages) - 1}", fields.get("tools") or (), props)
    return Heard(
        thread_id=fields["threadId"],
        run_id=fields["runId"],
        declared=bool(fields.get("protocolVersion")),
        messages=messages,
        wait=props["wait"],
        said=said,
        message_id=_id(last),
        answers={one["interruptId"]: one for one in fields.get("resume") or ()},
    )


def _said(message: Mapping[str, Any], place: str, tools: Sequence[Any], props: Mapping[str, Any]) -> Said:
    content = message.get("content")
    text, images = (content, []) if isinstance(content, str) else _parts(content, f"{place}.content")
    if not text.strip():
        raise Invalid.field(f"{place}.content", "This field may not be blank.", "blank")
    if len(text) > settings.MESSAGE_LIMIT:
        raise Invalid.field(f"{place}.content", f"This may have {settings.MESSAGE_LIMIT} characters.", "max_length")
    return Said(
        text=text,
        model=props.get("model"),
        mood=props.get("mood") or "",
        metadata={MESSAGE_ID: _id(message)} if _id(message) else None,
        attachments=images,
        tools=[{name: value for name, value in one.items() if value} | {"name": one["name"]} for one in tools],
        on_conflict=OnConflict(props["onConflict"]),
    )


def _parts(parts: Any, place: str) -> tuple[str, list[dict[str, Any]]]:
    """The text of a message's parts, and its images."""
    if not isinstance(parts, list):
        raise Invalid.field(place, "This must be a text, or a list of parts.", "wrong_type")
    texts, images = [], []
    for number, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in ("image", "binary"):
            images.append(_image(part, f"{place}.{number}"))
        else:
            raise Invalid.field(f"{place}.{number}", "Only parts of type text and image are read.", "unsupported_part")
    if len(images) > attachments.MOST:
        raise Invalid.field(place, f"A message may have {attachments.MOST} images at most.", "max_length")
    return "\n".join(texts), images


def _image(part: Mapping[str, Any], place: str) -> dict[str, Any]:
    """An image that came inline; `binary` is what older clients call it."""
    source = part.get("source")
    source = source if isinstance(source, dict) else {}
    inline = source.get("type") == "data"
    data, media_type = (source.get("value"), source.get("mimeType")) if inline else (None, None)
    if part["type"] == "binary":
        data, media_type = part.get("data"), part.get("mimeType")
    if not (isinstance(data, str) and isinstance(media_type, str)):
        raise Invalid.field(
            place, "Send the image itself: {source: {type: data, value, mimeType}}.", "unsupported_part"
        )
    return {"media_type": media_type, "data": data}


def _wish(approval_id: UUID, answer: Mapping[str, Any]) -> Wish | None:
    """What an answer wishes; None where it only asks how things stand."""
    payload = answer.get("payload")
    approved = payload.get("approved") if isinstance(payload, dict) else None
    if answer["status"] != "resolved" or not isinstance(approved, bool):
        return None
    reason = payload.get("reason") if isinstance(payload, dict) else None
    return wishes.wish(approval_id, approved, reason if isinstance(reason, str) else "")


def _result(call_id: str, place: int, message: Mapping[str, Any]) -> Result:
    """What a tool message says; raises Invalid for what is no text, or too long."""
    content, error = message.get("content"), message.get("error")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if isinstance(part, dict) and _is_text(part))
    if not isinstance(content, str) or len(content) > LONGEST_OUTPUT:
        raise Invalid.field(f"messages.{place}.content", f"a text of {LONGEST_OUTPUT} characters at most", "max_length")
    if isinstance(error, str) and error:
        return Result(call_id, f"{error[:LONGEST_OUTPUT]}\n{content}".strip(), ok=False)
    return Result(call_id, content)


def _is_tool(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "tool" and isinstance(message.get("toolCallId"), str)


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _id(message: Mapping[str, Any]) -> str:
    """What the client calls a message, where that is of a kind that can be kept."""
    told = message.get("id")
    return told if isinstance(told, str) and len(told) <= LONGEST_CLIENT_ID else ""
