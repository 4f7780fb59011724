"""The AI SDK's bodies: what `DefaultChatTransport` sends, with the extras that its `body` option adds."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.tools import client
from chat.services.conversations import LONGEST_CLIENT_ID
from chat.services.runs import OnConflict
from companions.models import Mood
from core.serializers import LenientQuery, LenientSerializer

SUBMIT, REGENERATE = "submit-message", "regenerate-message"
KINDS = ("companion", "agent", "team")


class SdkQuery(LenientQuery):
    """For which version of the SDK the stream is."""

    sdk = serializers.ChoiceField(
        choices=[("5", "5"), ("6", "6"), ("7", "7")], default="6", help_text="Major version of the package `ai`."
    )


@extend_schema_field({"type": "array", "items": {"type": "object"}, "minItems": 1})
class MessagesField(serializers.Field[Any, Any, Any, Any]):
    """The client's UI messages, of which the last alone is looked at."""

    def to_internal_value(self, data: Any) -> list[Any]:
        """The list as it came."""
        if not isinstance(data, list):
            raise serializers.ValidationError("This must be a list.", code="wrong_type")
        if not data:
            raise serializers.ValidationError("This may not be empty.", code="empty")
        return data


@extend_schema_field(OpenApiTypes.OBJECT)
class ParametersField(serializers.DictField):
    """A JSON Schema."""


class AiSdkTool(LenientSerializer):
    """A tool whose calls the client makes."""

    name = serializers.CharField(max_length=64)
    description = serializers.CharField(max_length=client.LONGEST_DESCRIPTION, allow_blank=True, default="")
    parameters = ParametersField(required=False, help_text="The JSON Schema of its arguments, an object.")


class AiSdkChat(LenientSerializer):
    """What `useChat` sends; what follows `messageId` comes by the transport's `body`."""

    id = serializers.CharField(
        max_length=LONGEST_CLIENT_ID, help_text="The client's own id of the chat, or a session's."
    )
    messages = MessagesField(help_text="The last one is taken: the rest of the conversation is kept here.")
    trigger = serializers.ChoiceField(choices=[SUBMIT, REGENERATE], default=SUBMIT)
    messageId = serializers.CharField(max_length=LONGEST_CLIENT_ID, required=False, allow_null=True)
    companion = serializers.SlugField(max_length=60, required=False, help_text="Type slug; or send agent or team.")
    agent = serializers.SlugField(max_length=60, required=False)
    team = serializers.SlugField(max_length=60, required=False)
    model = serializers.CharField(max_length=200, required=False, help_text="Left out: the caller's preference.")
    mood = serializers.ChoiceField(choices=Mood.choices, required=False)
    tools = AiSdkTool(
        many=True,
        required=False,
        max_length=client.MOST,  # type: ignore[call-arg]  # of the list
        help_text="Tools that the client makes the calls of.",
    )
    on_conflict = serializers.ChoiceField(choices=[(one.value, one.value) for one in OnConflict], default="reject")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A chat is with one."""
        named = [kind for kind in KINDS if kind in attrs]
        if len(named) > 1:
            raise serializers.ValidationError({named[1]: f"Send {named[0]} or {named[1]}, not both."}, code="several")
        return attrs
