"""The native dialect's bodies: what comes in, strictly; what goes out, as the contract lists it."""

import json
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.tools import client
from chat.dialects.native.client_tools import CallOut
from chat.models import Conversation, Message, Run
from chat.services import attachments, links, standings
from chat.services.runs import OnConflict
from companions.models import Mood
from core import images
from core.serializers import QuerySerializer, StrictSerializer

ERROR = {
    "type": "object",
    "nullable": True,
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "retryable": {"type": "boolean"},
    },
    "required": ["code", "message", "retryable"],
}


def check_metadata(value: dict[str, Any]) -> None:
    """Metadata stays within its size."""
    if len(json.dumps(value)) > settings.METADATA_LIMIT:
        raise serializers.ValidationError(f"This may have {settings.METADATA_LIMIT} bytes at most.", code="max_length")


class AttachmentRequest(StrictSerializer):
    """An image that comes with a message."""

    type = serializers.ChoiceField(choices=[("image", "image")])
    media_type = serializers.ChoiceField(choices=[(one, one) for one in images.TYPES])
    data = serializers.CharField(  # type: ignore[assignment]  # DRF has a property of this name, its fields come first
        max_length=images.BYTES_LIMIT * 4 // 3 + 4,
        help_text=f"Base64 of the file, of {images.BYTES_LIMIT // 1_000_000} MB and 25 megapixels at most.",
    )


class ToolRequest(StrictSerializer):
    """A tool whose calls the client makes."""

    name = serializers.CharField(max_length=64, help_text="A-Z a-z 0-9 _ -, and of no tool that runs on the server.")
    description = serializers.CharField(
        max_length=client.LONGEST_DESCRIPTION, allow_blank=True, default="", help_text="What the model reads of it."
    )
    parameters = serializers.DictField(required=False, help_text="The JSON Schema of its arguments, an object.")


class MessageRequest(StrictSerializer):
    """A message to a companion that the path names."""

    message = serializers.CharField(max_length=settings.MESSAGE_LIMIT, trim_whitespace=False)
    model = serializers.CharField(max_length=200, required=False, help_text="Left out: the caller's preference.")
    mood = serializers.ChoiceField(choices=Mood.choices, required=False, help_text="Left out: the companion's.")
    stream = serializers.BooleanField(default=False, help_text="Answer as server-sent events.")
    session_id = serializers.UUIDField(required=False, help_text="Go on with this session; else a new one begins.")
    metadata = serializers.DictField(required=False, validators=[check_metadata])
    attachments = AttachmentRequest(
        many=True,
        required=False,
        max_length=attachments.MOST,  # type: ignore[call-arg]  # of the list
        help_text="Images.",
    )
    tools = ToolRequest(
        many=True,
        required=False,
        max_length=client.MOST,  # type: ignore[call-arg]  # of the list
        help_text="Tools that the client brings; the run waits for the results of their calls.",
    )
    on_conflict = serializers.ChoiceField(choices=[(one.value, one.value) for one in OnConflict], default="reject")
    replaces = serializers.UUIDField(
        required=False,
        help_text="The message of the session that was said last: it goes with its answer, and this stands for it.",
    )
    wait = serializers.FloatField(
        min_value=0,
        max_value=600,
        required=False,
        help_text="Seconds to wait for an approval; where it is sent, a stream waits so for the client's tools too.",
    )

    def validate_message(self, value: str) -> str:
        """A message says something."""
        if not value.strip():
            raise serializers.ValidationError("This field may not be blank.", code="blank")
        return value


class MessageFrame(MessageRequest):
    """A message over a WebSocket, whose session is the socket's."""

    stream = None  # type: ignore[assignment]  # how DRF drops a field of the parent
    session_id = None  # type: ignore[assignment]
    replaces = None  # type: ignore[assignment]


class CancelFrame(StrictSerializer):
    """A run of the socket's session that is to stop."""

    run_id = serializers.UUIDField()


class ResumeFrame(StrictSerializer):
    """The number of the last event that was read."""

    after = serializers.IntegerField(min_value=0, max_value=2**53, default=0)


class ChatRequest(MessageRequest):
    """A message to a companion that the body names."""

    companion = serializers.SlugField(max_length=60, required=False, help_text="Type slug, such as smart-home.")


class SessionRequest(StrictSerializer):
    """A new session."""

    companion = serializers.SlugField(max_length=60)
    title = serializers.CharField(max_length=settings.TITLE_LIMIT, required=False, allow_blank=True)


class SessionChange(StrictSerializer):
    """What may change of a session."""

    title = serializers.CharField(max_length=settings.TITLE_LIMIT, required=False, allow_blank=True)
    archived = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A change changes something."""
        if not attrs:
            raise serializers.ValidationError("Send title, archived, or both.", code="required")
        return attrs


class SessionsQuery(QuerySerializer):
    """Which sessions are listed."""

    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    offset = serializers.IntegerField(min_value=0, max_value=10_000, default=0)
    companion = serializers.SlugField(max_length=60, required=False)
    q = serializers.CharField(max_length=200, required=False, help_text="Words of the title.")
    archived = serializers.BooleanField(
        required=False,
        help_text="Those that are archived, or those that are not; not given: those that are not, and with `q` both.",
    )
    cursor = serializers.CharField(max_length=200, required=False, help_text="`next_cursor` of the page before.")


class SessionQuery(QuerySerializer):
    """How much of a session is shown."""

    limit = serializers.IntegerField(min_value=1, max_value=1000, default=1000)
    cursor = serializers.UUIDField(required=False, help_text="`next_cursor` of the page before.")
    newest = serializers.BooleanField(
        default=False, help_text="The newest messages in place of the oldest; `next_cursor` leads to older ones."
    )


class DeleteQuery(QuerySerializer):
    """What goes with a session."""

    forget = serializers.BooleanField(default=False, help_text="Its memories too.")


class EventsQuery(QuerySerializer):
    """Where reading a run's events begins."""

    after = serializers.IntegerField(min_value=0, max_value=2**53, required=False)


class PartsField(serializers.ListField):
    """The parts of a message, in which the addresses of images open for a while."""

    child = serializers.DictField()

    def to_representation(self, data: Any) -> Any:
        """The parts as their reader is shown them."""
        return super().to_representation(links.signed(data))


class MessageOut(serializers.ModelSerializer[Message]):
    """One entry of a session."""

    parts = PartsField(help_text="The `url` of an image opens with a key, and as it stands here for a while without.")
    usage = serializers.DictField(allow_null=True)

    class Meta:
        model = Message
        fields = ("id", "role", "content", "parts", "created_at", "model", "provider", "usage", "metadata")


class SessionOut(serializers.ModelSerializer[Conversation]):
    """A session in lists."""

    companion = serializers.CharField(source="companion.type", allow_null=True, help_text="Null: a team or an agent.")
    team_id = serializers.UUIDField(allow_null=True)

    class Meta:
        model = Conversation
        fields: tuple[str, ...] = ("id", "companion", "team_id", "title", "archived", "created_at", "updated_at")


class TurnOut(serializers.ModelSerializer[Run]):
    """How the message `asked` was answered: by which run, with what as its answer, and what its model was told."""

    run_id = serializers.UUIDField(source="pk")
    asked = serializers.UUIDField(source="message_id")
    answer = serializers.UUIDField(source="answer_id", allow_null=True)
    status = serializers.CharField(source="state")
    memories = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = ("run_id", "asked", "answer", "status", "memories", "error")

    def get_memories(self, run: Run) -> list[str]:
        """The memories that its model was told, by id."""
        return run.memories or []

    @extend_schema_field(ERROR)
    def get_error(self, run: Run) -> dict[str, Any] | None:
        """Why it failed."""
        if not run.error_code:
            return None
        retryable = standings.retryable(run.error_code)
        return {"code": run.error_code, "message": run.error_message, "retryable": retryable}


class SessionPage(serializers.Serializer[Any]):
    """A page of sessions."""

    sessions = SessionOut(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()
    next_cursor = serializers.CharField(allow_null=True)


class SessionDetail(SessionOut):
    """A session with what was said in it."""

    messages = MessageOut(many=True)
    turns = TurnOut(many=True, help_text="The runs behind these messages.")
    active_run_id = serializers.UUIDField(allow_null=True)
    next_cursor = serializers.CharField(allow_null=True)

    class Meta(SessionOut.Meta):
        fields: tuple[str, ...] = (*SessionOut.Meta.fields, "messages", "turns", "active_run_id", "next_cursor")


class RunOut(serializers.ModelSerializer[Run]):
    """A run's state."""

    session_id = serializers.UUIDField(source="conversation_id")
    message_id = serializers.UUIDField(source="answer_id", allow_null=True)
    companion = serializers.CharField(source="companion_type")
    status = serializers.CharField(source="state")
    usage = serializers.DictField(allow_null=True)
    memories = serializers.ListField(
        child=serializers.UUIDField(), allow_null=True, help_text="What its model was told of the person, by id."
    )
    error = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = (
            "id",
            "session_id",
            "status",
            "attempt",
            "companion",
            "provider",
            "model",
            "message_id",
            "usage",
            "memories",
            "error",
            "created_at",
            "started_at",
            "ended_at",
        )

    def get_error(self, run: Run) -> dict[str, str] | None:
        """Why it failed."""
        return {"code": run.error_code, "message": run.error_message} if run.error_code else None


class CancelOut(serializers.Serializer[Any]):
    """A run that was asked to stop."""

    run_id = serializers.UUIDField()
    status = serializers.CharField()


class AnswerMessage(serializers.Serializer[Any]):
    """The answer as an entry of its session."""

    id = serializers.UUIDField()
    role = serializers.CharField()
    content = serializers.CharField()
    parts = serializers.ListField(child=serializers.DictField())
    created_at = serializers.DateTimeField()


ANSWER_STATUS = [(name, name) for name in ("completed", "awaiting_approval", "awaiting_tools", "cancelled")]


class ChatAnswer(serializers.Serializer[Any]):
    """A whole answer at once."""

    response = serializers.CharField()
    message = AnswerMessage(allow_null=True)
    session_id = serializers.UUIDField()
    run_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ANSWER_STATUS)
    companion = serializers.CharField()
    model = serializers.CharField()
    provider = serializers.CharField()
    usage = serializers.DictField(allow_null=True)
    approvals = serializers.ListField(child=serializers.UUIDField())
    calls = CallOut(many=True, required=False, help_text="What the client is to call; there with `awaiting_tools`.")
