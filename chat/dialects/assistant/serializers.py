"""The assistant dialect's bodies: what comes in, leniently; what goes out, as the contract lists it."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework import serializers

from chat.models import Folder, Message
from chat.services.runs import OnConflict
from companions.models import Mood
from core import images
from core.serializers import LenientQuery, LenientSerializer

DEFAULT = "default"
PROVIDERS = ("ollama", "groq", "google", "claude", "openai", "openrouter", DEFAULT)
OTHER_NAMES = {"message": "text", "web_enabled": "web"}
"""Fields that are accepted under another name too, by that name."""


class AssistantMessageIn(LenientSerializer):
    """A message. A field that is null or empty is one that was left out."""

    text = serializers.CharField(
        max_length=settings.MESSAGE_LIMIT, trim_whitespace=False, help_text="`message` is taken in its place too."
    )
    provider = serializers.ChoiceField(
        choices=[(one, one) for one in PROVIDERS], default=DEFAULT, help_text="Its default model answers."
    )
    conversation_id = serializers.UUIDField(required=False, help_text="Left out: a new conversation begins.")
    mood = serializers.ChoiceField(choices=Mood.choices, required=False, help_text="Left out: the companion's.")
    web = serializers.BooleanField(
        default=False, help_text="Have the web looked at, with the tools that the agent has. `web_enabled` too."
    )
    image_base64 = serializers.CharField(
        max_length=images.BYTES_LIMIT * 4 // 3 + 4,
        required=False,
        help_text=f"An image, of {images.BYTES_LIMIT // 1_000_000} MB and 25 megapixels at most.",
    )
    image_mime = serializers.ChoiceField(
        choices=[(one, one) for one in images.TYPES], required=False, help_text="Needed with an image."
    )
    channel = serializers.CharField(max_length=40, default="web", help_text="Kept with a conversation that begins.")
    agent_id = serializers.CharField(
        max_length=60,
        required=False,
        help_text="The id or slug of an agent, or the id or type of a companion. Left out: the first companion.",
    )
    on_conflict = serializers.ChoiceField(
        choices=[(one.value, one.value) for one in OnConflict],
        default=OnConflict.REJECT.value,
        help_text="What becomes of the message where another is being answered there.",
    )

    def to_internal_value(self, data: Any) -> Any:
        """The validated fields; raises ValidationError."""
        if isinstance(data, Mapping):
            data = {name: value for name, value in data.items() if not (value is None or value == "")}
            for other, name in OTHER_NAMES.items():
                if other in data:
                    data.setdefault(name, data[other])
        return super().to_internal_value(data)

    def validate_text(self, value: str) -> str:
        """A message says something."""
        if not value.strip():
            raise serializers.ValidationError("This field may not be blank.", code="blank")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """An image has a type."""
        if "image_base64" in attrs and "image_mime" not in attrs:
            raise serializers.ValidationError({"image_mime": ["Say what type the image is of."]}, code="required")
        return attrs


class ListQuery(LenientQuery):
    """Which conversations are listed."""

    channel = serializers.CharField(max_length=40, default="", allow_blank=True, help_text="Left out: of all.")
    limit = serializers.IntegerField(min_value=1, max_value=100, default=50)


class MessagesQuery(LenientQuery):
    """Whose messages are listed."""

    conversation_id = serializers.UUIDField()
    limit = serializers.IntegerField(min_value=1, max_value=100, default=50)


class AssistantTruncateIn(LenientSerializer):
    """How much is kept."""

    keep_count = serializers.IntegerField(
        min_value=0, max_value=1_000_000, default=0, help_text="The most recent messages; 0 deletes all."
    )


class AssistantFolderIn(LenientSerializer):
    """A new folder."""

    name = serializers.CharField(max_length=100)
    color = serializers.CharField(max_length=30, required=False, allow_blank=True)


class AssistantFolderChange(AssistantFolderIn):
    """What may change of a folder."""

    name = serializers.CharField(max_length=100, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A change changes something."""
        if not attrs:
            raise serializers.ValidationError("Send name, color, or both.", code="required")
        return attrs


class AssistantPutIn(LenientSerializer):
    """Where a conversation is kept."""

    folder_id = serializers.UUIDField(allow_null=True, help_text="Null takes it out of its folder.")


class AssistantAnswerOut(serializers.Serializer[Any]):
    """An answer at once."""

    reply = serializers.CharField()
    conversation_id = serializers.UUIDField()
    provider = serializers.CharField(help_text="The one that answered.")


class AssistantWaitingOut(AssistantAnswerOut):
    """The answer so far, of which an action waits for approval."""

    status = serializers.ChoiceField(choices=[("awaiting_approval", "awaiting_approval")])
    approvals = serializers.ListField(child=serializers.UUIDField())


class AssistantConversationOut(serializers.Serializer[Any]):
    """A conversation in the list."""

    id = serializers.UUIDField(source="conversation.pk")
    title = serializers.CharField(source="conversation.title")
    created_at = serializers.DateTimeField(source="conversation.created_at")
    last_active = serializers.DateTimeField(source="conversation.updated_at")
    folder_id = serializers.UUIDField(source="conversation.folder_id", allow_null=True)
    message_count = serializers.IntegerField(source="messages")
    approx_tokens = serializers.IntegerField(source="tokens", help_text="Estimated from the size of the texts.")


class AssistantConversationsOut(serializers.Serializer[Any]):
    """Conversations, most recently active first."""

    conversations = AssistantConversationOut(many=True)


class AssistantSaidOut(serializers.ModelSerializer[Message]):
    """A message."""

    class Meta:
        model = Message
        fields = ("role", "content")


class AssistantMessagesOut(serializers.Serializer[Any]):
    """The last messages of a conversation, oldest first."""

    conversation_id = serializers.UUIDField()
    messages = AssistantSaidOut(many=True)


class AssistantTruncatedOut(serializers.Serializer[Any]):
    """What was taken away."""

    ok = serializers.BooleanField()
    conversation_id = serializers.UUIDField()
    keep_count = serializers.IntegerField()
    deleted = serializers.IntegerField()


class AssistantFolderOut(serializers.ModelSerializer[Folder]):
    """A folder."""

    class Meta:
        model = Folder
        fields = ("id", "name", "color", "created_at")


class AssistantFoldersOut(serializers.Serializer[Any]):
    """The caller's folders."""

    folders = AssistantFolderOut(many=True)


class AssistantFolderMade(AssistantFoldersOut):
    """A new folder, and all there are now."""

    ok = serializers.BooleanField()
    folder = AssistantFolderOut()


class AssistantDoneOut(serializers.Serializer[Any]):
    """It was done."""

    ok = serializers.BooleanField()
