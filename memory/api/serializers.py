"""What the API says of memories, and what it takes for them."""

import json
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from companions.models import Layer
from core.serializers import QuerySerializer, StrictSerializer
from memory.models import Entry, Kind, Status
from memory.services.forgetting import MOST_CUT, Cut
from memory.services.normalising import MOST_TEXT

MOST_METADATA = 4_000  # characters of JSON
COMPANION = serializers.SlugField(
    max_length=60, required=False, help_text="Left out: what every companion of yours may know."
)


class SourceOut(serializers.Serializer[Any]):
    """A message that the memory comes from, and where in it, in characters."""

    session_id = serializers.UUIDField(allow_null=True)
    message_id = serializers.UUIDField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()


class MemoryOut(serializers.ModelSerializer[Entry]):
    """A memory."""

    type = serializers.SerializerMethodField(help_text="Its slot (`home`); without one what kind of entry it is.")
    content = serializers.CharField(source="text")
    companion_type = serializers.SerializerMethodField(help_text="Null: every companion of yours may know it.")
    source = serializers.SerializerMethodField(help_text="Who wrote it.")  # type: ignore[assignment]  # as the API has it
    sources = serializers.SerializerMethodField()
    superseded_by = serializers.UUIDField(source="superseded_by_id", allow_null=True, read_only=True)

    class Meta:
        model = Entry
        fields = (
            "id", "layer", "type", "content", "companion_type", "source", "sources", "confidence", "status", "pinned",
            "metadata", "said_at", "valid_from", "valid_to", "superseded_by", "expires_at", "created_at", "updated_at",
            "last_recalled_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_type(self, entry: Entry) -> str:
        """The slot, or the kind."""
        return entry.slot or entry.kind

    def get_companion_type(self, entry: Entry) -> str | None:
        """Of the companion that it is kept with."""
        return entry.owner.companion.type if entry.owner.companion else None

    def get_source(self, entry: Entry) -> str:
        """`person`, `companion`, `manager`, `extractor` or `import`."""
        return entry.author

    def get_sources(self, entry: Entry) -> list[dict[str, Any]]:
        """The messages that it comes from."""
        rows: list[dict[str, Any]] = []
        if entry.kind == Kind.MESSAGE and entry.message_id:
            here = {"session_id": entry.conversation_id, "message_id": entry.message_id}
            rows = [{**here, "start": 0, "end": len(entry.text)}]
        for one in entry.sources.all():
            at = {"session_id": one.conversation_id, "message_id": one.message_id}
            rows.append({**at, "start": one.start, "end": one.end})
        return list(SourceOut(rows, many=True).data)


class MemoriesOut(serializers.Serializer[dict[str, Any]]):
    """A page of memories."""

    memories = MemoryOut(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class MemoryQuery(QuerySerializer):
    """Which memories are listed."""

    layer = serializers.ChoiceField(choices=Layer.choices, required=False)
    companion_type = COMPANION
    q = serializers.CharField(max_length=250, required=False, help_text="What to search for; the best first.")
    words = serializers.CharField(
        max_length=250,
        required=False,
        help_text="Those alone whose content has all these words, as far as they are written.",
    )
    status = serializers.ChoiceField(choices=[*Status.choices, ("all", "All")], default=Status.ACTIVE)
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    offset = serializers.IntegerField(min_value=0, max_value=1_000_000, default=0)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses to search for what does not count, and in two ways at once."""
        if attrs.get("q") and attrs.get("words"):
            raise serializers.ValidationError(
                {"words": "A search (`q`) asks for what fits best; leave one of them out."}
            )
        if attrs.get("q") and attrs["status"] != Status.ACTIVE:
            raise serializers.ValidationError({"status": "A search (`q`) finds active memories alone; leave this out."})
        return attrs


class Said(StrictSerializer):
    """What is said of a memory."""

    type = serializers.CharField(
        max_length=60,
        allow_blank=True,
        required=False,
        help_text="What it tells, such as `home`; empty: nothing of it.",
    )
    metadata = serializers.DictField(required=False, help_text=f"{MOST_METADATA:,} characters of JSON at most.")
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Forgotten from then on.")
    pinned = serializers.BooleanField(required=False, help_text="Always told, and never superseded by a machine.")

    def validate_metadata(self, value: dict[str, Any]) -> dict[str, Any]:
        """Refuses what is too large."""
        if len(json.dumps(value)) > MOST_METADATA:
            raise serializers.ValidationError(f"This may be {MOST_METADATA:,} characters long.", code="max_length")
        return value

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        """Refuses a time that is over."""
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("This must be in the future.", code="past")
        return value


class NewMemory(Said):
    """A new memory."""

    layer = serializers.ChoiceField(choices=Layer.choices)
    content = serializers.CharField(max_length=MOST_TEXT)
    companion_type = COMPANION


class MemoryChange(Said):
    """What of a memory is changed; what is not sent stays."""

    content = serializers.CharField(max_length=MOST_TEXT, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs:
            raise serializers.ValidationError(f"Send at least one of {', '.join(self.fields)}.", code="required")
        return attrs


class CutOut(serializers.Serializer[Any]):
    """What would go from a message."""

    message_id = serializers.UUIDField()
    session_id = serializers.UUIDField(source="conversation_id")
    by_person = serializers.BooleanField(help_text="Else the companion said it, or an agent that it asked.")
    sentences = serializers.SerializerMethodField()

    def get_sentences(self, cut: Cut) -> list[str]:
        """As they stand there, each of its first 4,000 characters."""
        return [one if len(one) <= MOST_TEXT else one[: MOST_TEXT - 1] + "…" for one in cut.sentences]


class ForgettingOut(serializers.Serializer[Any]):
    """What forgetting a memory would take."""

    memories = serializers.IntegerField(help_text="It, what it was before, and what goes with it.")
    messages = serializers.IntegerField(help_text="From how many messages something goes.")
    cuts = CutOut(many=True, help_text=f"Of {MOST_CUT} messages at most, the newest first.")


class RevisionOut(serializers.Serializer[dict[str, Any]]):
    """What a memory was before a change."""

    number = serializers.IntegerField()
    content = serializers.CharField()
    type = serializers.CharField(allow_blank=True)
    source = serializers.CharField()  # type: ignore[assignment]  # as the API has it
    changed_at = serializers.DateTimeField()


class MemoryVersionsOut(serializers.Serializer[dict[str, Any]]):
    """How a memory came to be what it is: its changes, and what it superseded, the newest first."""

    memory = MemoryOut()
    revisions = RevisionOut(many=True)
    superseded = MemoryOut(many=True)


class PauseIn(StrictSerializer):
    """Whether memory rests."""

    paused = serializers.BooleanField()
    companion_type = COMPANION


class PauseOut(serializers.Serializer[dict[str, Any]]):
    """Whether memory rests, of a companion or of all."""

    companion_type = serializers.CharField(allow_null=True)
    paused = serializers.BooleanField()


class PausesOut(serializers.Serializer[dict[str, Any]]):
    """Which memories rest."""

    pauses = PauseOut(many=True)
