"""What was said: conversations, their messages with the images of them, and summaries."""

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User, Workspace
from agents.models import Agent, AgentTeam
from chat.models.folders import Folder
from chat.querysets import AttachmentQuerySet, ConversationQuerySet, MessageQuerySet
from companions.models import Companion
from core import ids


class Conversation(models.Model):
    """What a person and a companion said; a session in the native dialect.

    A person talks with a companion, with a team, or where an agent is tried with that agent itself. The conversation of
    an agent which works in the background has neither person nor companion, but `agent`. What an agent was
    asked within another run, by a team or by an agent, has a conversation of its own below the one in which that run
    is, its `parent`; no list shows it. With `external`, its person is the one on whose behalf a key acts, and somebody
    else speaks.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="conversations")
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="conversations")
    companion = models.ForeignKey(Companion, null=True, on_delete=models.PROTECT, related_name="conversations")
    agent = models.ForeignKey(Agent, null=True, on_delete=models.PROTECT, related_name="background", db_index=False)
    team = models.ForeignKey(AgentTeam, null=True, on_delete=models.PROTECT, related_name="conversations")
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="below", db_index=False)
    title = models.CharField(max_length=200, blank=True)
    client_id = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="As its person's client calls it."
    )
    folder = models.ForeignKey(
        Folder, null=True, on_delete=models.SET_NULL, related_name="conversations", db_index=False
    )
    channel = models.CharField(
        max_length=40, blank=True, default="", db_default="", help_text="Where it began, as its client calls that."
    )
    archived = models.BooleanField(default=False)
    # Not a foreign key: chats outlive the key that they were begun with.
    key_line = models.UUIDField(null=True, help_text="The first of the line of keys that it was begun with.")
    external = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Somebody from outside speaks: it is not the person's own, and nothing of it is remembered of them.",
    )
    external_user = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Who that is, as the program or page says."
    )
    vouched = models.BooleanField(
        default=False, db_default=False, help_text="A server says so, by its secret key or a client token."
    )
    metadata = models.JSONField(default=dict, blank=True, db_default=models.Value({}, models.JSONField()))
    speaker_ids = ArrayField(
        models.UUIDField(),
        default=list,
        db_default=[],
        help_text="Who else than its person had something said in it, by a key, that no run answered.",
    )
    quoted = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Its client holds what was said, and quotes it with each message: no list shows it.",
    )
    last_seq = models.BigIntegerField(default=0, help_text="The last event number used by any of its runs.")
    unread_from = models.DateTimeField(
        null=True, help_text="Answers of turns from here on were not seen by its person; null: all were."
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects = ConversationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, companion__isnull=False, agent=None, team=None, parent=None)
                | Q(user__isnull=False, companion=None, agent=None, team__isnull=False, parent=None)
                | Q(companion=None, agent__isnull=False, team=None),
                name="a_conversation_has_a_person_or_an_agent",
            ),
            models.UniqueConstraint(
                fields=["workspace", "user", "client_id"],
                condition=~Q(client_id=""),
                name="one_conversation_per_client_id",
            ),
        ]
        indexes = [
            models.Index(
                fields=["workspace", "user", "-updated_at", "-id"],
                condition=Q(parent=None, external=False),
                name="conversations_by_activity",
            ),
            models.Index(
                fields=["workspace", "user", "channel", "-updated_at", "-id"],
                condition=Q(parent=None) & ~Q(channel=""),
                name="conversations_by_channel",
            ),
            models.Index(fields=["folder"], condition=~Q(folder=None), name="conversations_of_folder"),
            models.Index(fields=["parent"], condition=~Q(parent=None), name="conversations_below"),
            models.Index(
                fields=["workspace", "user", "-unread_from"],
                condition=Q(parent=None) & ~Q(unread_from=None),
                name="conversations_unread",
            ),
            models.Index(fields=["workspace", "-id"], condition=Q(key_line__isnull=False), name="chats_of_workspace"),
            models.Index(
                fields=["workspace", "external_user", "-id"],
                condition=~Q(external_user=""),
                name="chats_by_external_user",
            ),
            models.Index(fields=["agent", "-id"], condition=~Q(agent=None), name="conversations_of_agent"),
            models.Index(
                fields=["agent", "user", "-updated_at"],
                condition=Q(parent=None) & ~Q(agent=None) & ~Q(user=None),
                name="conversations_with_agent",
            ),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)

    @property
    def remembering_id(self) -> UUID | None:
        """The companion that remembers its person by this; None where none does, or somebody from outside speaks."""
        return None if self.external else self.companion_id


class ReadMark(models.Model):
    """That a person saw what an agent reported in the background, up to a time."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="read_marks", db_index=False)
    read_up_to = models.DateTimeField(help_text="When the newest message that they saw was stored.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "user"], name="one_mark_per_reader")]
        indexes = [models.Index(fields=["user"], name="read_marks_of_user")]

    def __str__(self) -> str:
        return f"read up to {self.read_up_to}"


class MessageRole(models.TextChoices):
    """Who speaks."""

    USER = "user", "User"
    ASSISTANT = "assistant", "Assistant"
    SYSTEM = "system", "System"
    TOOL = "tool", "Tool"


class Message(models.Model):
    """One entry of a conversation; written once, when it is whole."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    role = models.CharField(max_length=10, choices=MessageRole)
    content = models.TextField(blank=True)
    parts = models.JSONField(default=list, help_text="[{type: text | image | reasoning | tool_call | tool_result, …}].")
    model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=60, blank=True)
    usage = models.JSONField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    turn_at = models.DateTimeField(
        db_default=Now(), help_text="When the message that began this turn came: an answer stands behind its question."
    )

    objects = MessageQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["conversation", "turn_at", "created_at"], name="messages_of_conversation"),
            models.Index(fields=["workspace", "id"], name="messages_of_workspace"),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:60]}"


class Attachment(models.Model):
    """An image that came with a message: the clean copy of it. `file` is its name in the storage of attachments."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="attachments")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    media_type = models.CharField(max_length=40)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    size = models.PositiveIntegerField(help_text="In bytes.")
    sha256 = models.CharField(max_length=64)
    file = models.CharField(max_length=100, unique=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = AttachmentQuerySet.as_manager()

    class Meta:
        verbose_name = "image"

    def __str__(self) -> str:
        return f"{self.media_type}, {self.width} × {self.height}"


class Compaction(models.Model):
    """A summary of a conversation up to a message, which its model is told in place of what was said until then.

    The messages stay. The newest summary counts; it holds what those before it said.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+", db_index=False)
    up_to = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+", db_index=False)
    turn_at = models.DateTimeField(help_text="Of the message that it reaches to.")
    said_at = models.DateTimeField(help_text="When that message was stored.")
    messages = models.PositiveIntegerField(help_text="How many it stands for.")
    content = models.TextField()
    provider = models.CharField(max_length=60)
    model = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "turn_at", "said_at"], name="one_summary_up_to_a_message")
        ]
        indexes = [models.Index(fields=["up_to"], name="compactions_by_message")]
        verbose_name = "summary"
        verbose_name_plural = "summaries"

    def __str__(self) -> str:
        return f"{self.messages} messages: {self.content[:60]}"
