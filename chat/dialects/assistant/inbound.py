"""What the assistant dialect's clients send: a body read, and refused with the statuses that they know."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from rest_framework.exceptions import ValidationError

from chat.dialects.assistant.serializers import DEFAULT, AssistantMessageIn
from chat.services.runs import OnConflict
from chat.services.saying import Said
from core import problems
from core.errors import FieldError, Invalid

UNPROCESSABLE = frozenset({"provider", "mood", "image_base64", "image_mime"})
ATTACHMENT = "attachments."


class Unprocessable(Invalid):
    """A provider, a mood or an image that is none."""

    status: ClassVar[int] = 422


def read(body: Any) -> dict[str, Any]:
    """The validated body of a message; raises ValidationError, and Unprocessable for what this dialect has 422 for."""
    try:
        return AssistantMessageIn.read(body)
    except ValidationError as error:
        errors = list(problems.flatten(error.detail))
        named = [one for one in errors if one.field in UNPROCESSABLE]
        if named:
            raise Unprocessable(f"{named[0].field}: {named[0].message}", errors=errors) from None
        raise


@contextmanager
def image() -> Iterator[None]:
    """The refusal of an image, by the names that the client sent it under."""
    try:
        yield
    except Invalid as error:
        if not any(one.field.startswith(ATTACHMENT) for one in error.errors):
            raise
        errors = [FieldError(_named(one.field), one.code, one.message) for one in error.errors]
        raise Unprocessable(f"{errors[0].field}: {errors[0].message}", errors=errors) from None


def said_of(body: dict[str, Any]) -> Said:
    """What was said, of a validated body."""
    sent = {"media_type": body.get("image_mime"), "data": body.get("image_base64")}
    return Said(
        text=body["text"],
        provider=None if body["provider"] == DEFAULT else body["provider"],
        mood=body.get("mood", ""),
        web=body["web"],
        attachments=(sent,) if sent["data"] else (),
        on_conflict=OnConflict(body["on_conflict"]),
    )


def _named(field: str) -> str:
    return "image_mime" if field.endswith(".media_type") else "image_base64"
