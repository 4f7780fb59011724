"""The chat sessions' bodies: what comes in, without what their clients send besides; what goes out."""

from typing import Any

from django.conf import settings
from rest_framework import serializers

from accounts.services import client_tokens
from chat.dialects.native.serializers import check_metadata
from chat.models import Conversation, Message
from core.serializers import LenientQuery, LenientSerializer

LONGEST_USER_ID = client_tokens.LONGEST_USER_ID


class NewChatSession(LenientSerializer):
    """A new chat."""

    agentId = serializers.CharField(max_length=100, help_text="A companion's type, an agent's slug, or its id.")
    userId = serializers.CharField(
        max_length=LONGEST_USER_ID,
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="Your user, as you wish.",
    )
    metadata = serializers.DictField(required=False, allow_null=True, validators=[check_metadata])


class NewChatLine(LenientSerializer):
    """A message of the user or, with a secret key, what the assistant said."""

    content = serializers.CharField(max_length=settings.MESSAGE_LIMIT, trim_whitespace=False)
    role = serializers.CharField(max_length=20, default="user", help_text="`user`; with a secret key `assistant` too.")

    def validate_content(self, value: str) -> str:
        """A message says something."""
        if not value.strip():
            raise serializers.ValidationError("This field may not be blank.", code="blank")
        return value


class NewClientToken(LenientSerializer):
    """For whom a client token is."""

    userId = serializers.CharField(max_length=LONGEST_USER_ID, help_text="Your user, as you know them.")
    publishableKeyId = serializers.CharField(
        max_length=24, required=False, allow_null=True, help_text="The public id of the one key that it goes with."
    )
    ttl = serializers.IntegerField(
        min_value=60,
        max_value=int(client_tokens.LONGEST.total_seconds()),
        default=int(client_tokens.LASTS.total_seconds()),
        help_text="Seconds.",
    )


class ChatSessionsQuery(LenientQuery):
    """Which chats are listed."""

    userId = serializers.CharField(max_length=LONGEST_USER_ID, required=False)
    agentType = serializers.CharField(
        max_length=60, required=False, help_text="A companion's type, or `companion` or `manager`: the agent's kind."
    )
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    cursor = serializers.UUIDField(required=False, help_text="`nextCursor` of the page before.")


class ChatLinesQuery(LenientQuery):
    """How much of a chat is shown."""

    limit = serializers.IntegerField(min_value=1, max_value=1000, default=1000)
    cursor = serializers.UUIDField(required=False, help_text="`nextCursor` of the page before.")


class ChatSessionOut(serializers.ModelSerializer[Conversation]):
    """A chat in lists."""

    agentId = serializers.SerializerMethodField()
    userId = serializers.CharField(source="external_user", allow_null=True)
    userVerified = serializers.BooleanField(
        source="vouched", help_text="Whether a server says that it is this user, or only their page."
    )
    createdAt = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Conversation
        fields: tuple[str, ...] = ("id", "agentId", "userId", "userVerified", "createdAt")

    def get_agentId(self, chat: Conversation) -> str:
        """The companion's type, or the id of the agent or the team itself."""
        return chat.companion.type if chat.companion else str(chat.agent_id or chat.team_id)

    def to_representation(self, instance: Conversation) -> dict[str, Any]:
        """The chat; of no user where nobody named one."""
        told: dict[str, Any] = super().to_representation(instance)
        return {**told, "userId": told["userId"] or None}


class ChatSessionDetail(ChatSessionOut):
    """A chat."""

    teamId = serializers.UUIDField(source="workspace_id", help_text="The workspace.")
    metadata = serializers.DictField()

    class Meta(ChatSessionOut.Meta):
        fields: tuple[str, ...] = (*ChatSessionOut.Meta.fields, "teamId", "metadata")


class ChatLineOut(serializers.ModelSerializer[Message]):
    """One entry of a chat."""

    createdAt = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Message
        fields: tuple[str, ...] = ("id", "content", "role", "createdAt")


class ChatSessionPage(serializers.Serializer[Any]):
    """A page of chats."""

    chats = ChatSessionOut(many=True)
    nextCursor = serializers.UUIDField(allow_null=True)


class ChatLinePage(serializers.Serializer[Any]):
    """A page of messages, oldest first."""

    messages = ChatLineOut(many=True)
    nextCursor = serializers.UUIDField(allow_null=True)


class ChatSessionWhole(ChatSessionDetail):
    """A chat with what was said in it, oldest first."""

    messages = ChatLineOut(many=True)
    nextCursor = serializers.UUIDField(allow_null=True)

    class Meta(ChatSessionDetail.Meta):
        fields: tuple[str, ...] = (*ChatSessionDetail.Meta.fields, "messages", "nextCursor")


class ChatReplyOut(serializers.Serializer[Any]):
    """What the agent said; without id and time while it waits, because it is not stored yet."""

    id = serializers.UUIDField(allow_null=True)
    chatId = serializers.UUIDField()
    content = serializers.CharField()
    role = serializers.CharField()
    createdAt = serializers.DateTimeField(allow_null=True)
    status = serializers.CharField(help_text="completed, cancelled or awaiting_approval.")


class ClientTokenOut(serializers.Serializer[Any]):
    """A client token."""

    token = serializers.CharField()
    expiresAt = serializers.DateTimeField()


class ChatErrorBody(serializers.Serializer[Any]):
    """A refusal."""

    code = serializers.CharField()
    message = serializers.CharField()


class ChatErrorOut(serializers.Serializer[Any]):
    """How this dialect tells errors."""

    error = ChatErrorBody()
