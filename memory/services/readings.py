"""Which conversations are to be read for facts, and what of them: noted with each answer, taken by one worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from companions.models import Layer
from core import prepared
from memory.extraction import Said
from memory.models import Author, Entry, Kind, Owner, Reading
from memory.services import owners

LEASE = timedelta(minutes=10)  # after which another worker reads what one died over
MOST_FAILURES = 5
PAUSE = timedelta(minutes=2)  # after a failure, the longer the more there were
MOST_MESSAGES = 200  # that are looked at together

_NOTE = """
INSERT INTO memory_reading (conversation_id, owner_id, seq, unread, failures, due_at, error)
SELECT DISTINCT ON (conversation_id) conversation_id, owner_id, 0, 1, 0,
    clock_timestamp() + make_interval(secs => %(idle)s), ''
FROM memory_entry WHERE conversation_id = ANY(%(conversations)s)
ON CONFLICT (conversation_id) DO UPDATE SET unread = memory_reading.unread + 1, failures = 0,
    due_at = CASE WHEN memory_reading.unread + 1 >= %(answers)s THEN clock_timestamp() ELSE EXCLUDED.due_at END
"""
_CLAIM = """
UPDATE memory_reading SET due_at = clock_timestamp() + make_interval(secs => %(lease)s) WHERE conversation_id IN (
    SELECT conversation_id FROM memory_reading WHERE due_at <= clock_timestamp()
    ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING conversation_id
"""
_DONE = """
UPDATE memory_reading AS reading SET seq = greatest(reading.seq, least(%(read_to)s, last.seq)), unread = 0,
    failures = 0, error = '', due_at = CASE
        WHEN %(more)s THEN clock_timestamp()
        WHEN last.seq > %(read_to)s THEN clock_timestamp() + make_interval(secs => %(idle)s) END
FROM (SELECT coalesce(max(seq), 0) AS seq FROM memory_entry
    WHERE conversation_id = %(conversation)s AND kind = 'message') AS last
WHERE reading.conversation_id = %(conversation)s
"""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a conversation is to be read now, up to the message with the number `seq`."""

    owner: Owner
    conversation_id: UUID
    messages: tuple[Said, ...]
    seq: int


def note(conversations: Sequence[UUID]) -> None:
    """Note that these have an answer more, in the transaction that stores it."""
    if not conversations or not settings.EXTRACTION:
        return
    often = {"idle": settings.EXTRACTION_IDLE_SECONDS, "answers": settings.EXTRACTION_ANSWERS}
    prepared.execute(_NOTE, {"conversations": list(conversations), **often})


def claim(limit: int = 8) -> list[Part]:
    """Take conversations that are due: nobody else takes them for a while."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"lease": LEASE.total_seconds(), "limit": limit})
        taken = [row[0] for row in cursor.fetchall()]
    found = Reading.objects.filter(pk__in=taken).select_related("owner__companion", "owner__user")
    return [_part(one) for one in found]


def done(part: Part, read_to: int) -> None:
    """Note how far the conversation was read. Where messages are left, or came meanwhile, it is due again.

    What was forgotten meanwhile has taken its place with it: what comes in that place is read.
    """
    prepared.execute(
        _DONE,
        {
            "conversation": part.conversation_id,
            "read_to": read_to,
            "more": read_to < part.seq,
            "idle": settings.EXTRACTION_IDLE_SECONDS,
        },
    )


def failed(part: Part, why: str) -> None:
    """Note that it could not be read; it is tried again later, a few times, and then with its next answer."""
    row = Reading.objects.filter(pk=part.conversation_id)
    row.update(failures=F("failures") + 1, error=why[:300])
    failures = row.values_list("failures", flat=True).first() or 0
    row.update(due_at=Now() + PAUSE * 2 ** (failures - 1) if failures < MOST_FAILURES else None)


def _part(reading: Reading) -> Part:
    owner = reading.owner
    wanted = {Layer.IDENTITY, Layer.PREFERENCES} & set(owner.companion.memory_layers if owner.companion else Layer)
    rows: list[Entry] = []
    if wanted and not owners.is_paused(owner):
        unread = owner.entries.filter(conversation_id=reading.pk, kind=Kind.MESSAGE, seq__gt=reading.seq)
        rows = list(unread.defer("terms", "embedding").order_by("seq")[:MOST_MESSAGES])
    said = tuple(
        Said(
            message_id=one.message_id,
            conversation_id=reading.pk,
            by_person=one.speaker == Author.PERSON,
            text=one.text,
            said_at=one.said_at,
            seq=one.seq,
        )
        for one in rows
        if one.message_id is not None
    )
    return Part(owner, reading.pk, said, max((one.seq for one in rows), default=reading.seq))
