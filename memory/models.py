"""What companions remember of people.

An owner is a person with a companion; what belongs to the person whichever companion they speak with has an owner
without one. Every message of theirs is an entry as it was said (`kind` message), stored in the message's own
transaction; facts and preferences are entries on top, with the messages that they come from as sources.
"""

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User, Workspace
from companions.models import Companion, Layer
from core import ids
from memory.fields import HalfVectorField, LexemesField
from memory.querysets import EntryQuerySet, OwnerQuerySet

DIMENSIONS = 384


class Kind(models.TextChoices):
    """What an entry is: a message as it was said, something drawn from messages, or something that was written down."""

    MESSAGE = "message", "Message"
    FACT = "fact", "Fact"
    NOTE = "note", "Note"


class Status(models.TextChoices):
    """An entry that was superseded stays, and says by which; one that is pending waits for its person."""

    ACTIVE = "active", "Active"
    PENDING = "pending", "Waits for the person"
    SUPERSEDED = "superseded", "Superseded"


class Author(models.TextChoices):
    """Who wrote an entry."""

    PERSON = "person", "Person"
    COMPANION = "companion", "Companion"
    MANAGER = "manager", "Manager"
    EXTRACTOR = "extractor", "Extractor"
    IMPORT = "import", "Import"


class Owner(models.Model):
    """A person with a companion, or the person alone for what every companion of theirs may know."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    companion = models.ForeignKey(Companion, null=True, on_delete=models.CASCADE, related_name="+")
    paused = models.BooleanField(default=False, help_text="Nothing new is kept, and nothing is recalled.")
    created_at = models.DateTimeField(db_default=Now())

    objects = OwnerQuerySet.as_manager()

    class Meta:
        verbose_name = "memory of a person"
        verbose_name_plural = "memories"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "workspace", "companion"], nulls_distinct=False, name="one_owner_per_companion"
            )
        ]

    def __str__(self) -> str:
        return f"owner {self.pk}"


class Entry(models.Model):
    """One memory.

    `seq` counts within the conversation, so that what was said before and after is `seq` less and more one. `context`
    is the question of the other side that a message answers. `slot` names what an entry of the layers identity and
    preferences tells (`home`, `language`); where it is `single`, one active entry has it. `terms` are the stems of the
    text, each with the owner's number before it, so that an index finds an owner's without reading others'.
    `embedding` is null until it is made, and `embedder` says by what.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    owner = models.ForeignKey(Owner, on_delete=models.CASCADE, related_name="entries", db_index=False)
    layer = models.CharField(max_length=12, choices=Layer)
    kind = models.CharField(max_length=10, choices=Kind)
    slot = models.CharField(max_length=60, blank=True, db_default="")
    single = models.BooleanField(db_default=False)
    text = models.TextField()
    context = models.TextField(blank=True, db_default="")
    speaker = models.CharField(max_length=10, choices=Author, db_default=Author.PERSON, help_text="Who said it.")
    language = models.CharField(max_length=12, blank=True, db_default="")
    said_at = models.DateTimeField(db_default=Now())
    # Messages are on the floor above: what names them is no foreign key.
    conversation_id = models.UUIDField(null=True)
    message_id = models.UUIDField(null=True, help_text="Of an entry of kind message: which it is.")
    seq = models.IntegerField(db_default=0)
    status = models.CharField(max_length=12, choices=Status, db_default=Status.ACTIVE)
    valid_from = models.DateTimeField(null=True)
    valid_to = models.DateTimeField(null=True)
    superseded_by = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="supersedes")
    replaces = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="Of an entry that waits: which it is to supersede.",
    )
    pinned = models.BooleanField(db_default=False)
    confidence = models.FloatField(db_default=1.0)
    author = models.CharField(max_length=10, choices=Author, db_default=Author.PERSON)
    model = models.CharField(max_length=200, blank=True, db_default="", help_text="That extracted it.")
    metadata = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the normalised text.")
    terms = LexemesField(editable=False, null=True)
    embedding = HalfVectorField(dimensions=DIMENSIONS, editable=False, null=True)
    embedder = models.CharField(max_length=60, blank=True, db_default="")
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    last_recalled_at = models.DateTimeField(null=True)

    objects = EntryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "layer", "slot"],
                condition=Q(status="active", single=True),
                name="one_active_entry_per_slot",
            ),
            models.UniqueConstraint(
                fields=["owner", "layer", "slot", "content_hash"],
                condition=Q(status="active") & ~Q(kind="message"),
                name="one_active_entry_per_text",
            ),
            models.UniqueConstraint(fields=["message_id"], condition=~Q(message_id=None), name="one_entry_per_message"),
        ]
        indexes = [
            models.Index(fields=["owner", "layer", "-id"], name="entries_of_owner"),
            models.Index(fields=["conversation_id", "seq"], name="entries_of_conversation"),
            # Has all that is asked of a vector, so that comparing an owner's reads a page for ten and not one for each.
            models.Index(
                fields=["owner", "embedder"],
                include=["id", "embedding", "layer", "message_id", "expires_at"],
                condition=Q(status="active"),
                name="vectors_of_owner",
            ),
            GinIndex(fields=["terms"], name="entries_by_term", fastupdate=False),
            models.Index(fields=["embedder", "id"], condition=Q(status="active"), name="entries_by_embedder"),
            models.Index(fields=["expires_at"], condition=~Q(expires_at=None), name="entries_by_expiry"),
            models.Index(fields=["replaces"], condition=~Q(replaces=None), name="entries_that_replace"),
        ]

    def __str__(self) -> str:
        return self.text[:60]


class Source(models.Model):
    """A message that an entry was drawn from, and where in it."""

    id = models.BigAutoField(primary_key=True)
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="sources")
    conversation_id = models.UUIDField(null=True)
    message_id = models.UUIDField()
    start = models.PositiveIntegerField(help_text="In characters, from the message's beginning.")
    end = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entry", "message_id", "start"], name="one_source_per_place")]
        indexes = [
            models.Index(fields=["message_id"], name="sources_by_message"),
            models.Index(fields=["conversation_id"], name="sources_by_conversation"),
        ]

    def __str__(self) -> str:
        return f"message {self.message_id}"


class Revision(models.Model):
    """What an entry was before a change, so that the change can be undone."""

    id = models.BigAutoField(primary_key=True)
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="revisions", db_index=False)
    number = models.PositiveIntegerField()
    before = models.JSONField()
    author = models.CharField(max_length=10, choices=Author)
    changed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entry", "number"], name="one_revision_per_number")]

    def __str__(self) -> str:
        return f"revision {self.number}"


class Reading(models.Model):
    """How far a conversation was read for facts: up to `seq`. `unread` answers came since; it is due at `due_at`."""

    conversation_id = models.UUIDField(primary_key=True)
    owner = models.ForeignKey(Owner, on_delete=models.CASCADE, related_name="readings")
    seq = models.IntegerField(default=0)
    unread = models.IntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=~Q(due_at=None), name="readings_due")]

    def __str__(self) -> str:
        return f"read up to {self.seq}"


class Tombstone(models.Model):
    """That something was forgotten: a keyed hash of it, by which extraction knows it and nobody can read it."""

    id = models.BigAutoField(primary_key=True)
    owner = models.ForeignKey(Owner, on_delete=models.CASCADE, related_name="tombstones", db_index=False)
    keyed_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "keyed_hash"], name="one_tombstone_per_text")]

    def __str__(self) -> str:
        return f"forgotten on {self.created_at:%Y-%m-%d}"
