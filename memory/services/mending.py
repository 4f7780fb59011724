"""What stays after something was forgotten: messages that say less, and what pointed at them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from django.db import connection

from accounts.models import IdempotentRequest
from memory.models import Entry, Owner, Source
from memory.scrub import FORGOTTEN, Scrub, blanked
from memory.services import keeping, tombstones
from memory.services.normalising import content_hash

Place = tuple[UUID | None, int]
"""A conversation, and the number of a message in it."""

_TOLD = frozenset({"content", "metadata", "response", "text", "title"})
# An answer has the question before it as its context, and its vector is of both.
_CONTEXTS = """
UPDATE memory_entry AS entry SET context = '', embedding = NULL, embedder = ''
FROM unnest(%(conversations)s::uuid[], %(seqs)s::int[]) AS gone (conversation_id, seq)
WHERE entry.conversation_id = gone.conversation_id AND entry.seq = gone.seq + 1 AND entry.context <> ''
"""
# Messages that come are numbered on from the last that is there.
_READINGS = """
UPDATE memory_reading AS reading SET error = '', seq = least(seq, coalesce(
    (SELECT max(entry.seq) FROM memory_entry AS entry WHERE entry.conversation_id = reading.conversation_id), 0))
WHERE conversation_id = ANY(%(conversations)s::uuid[])
"""


def tell_anew(owners: Sequence[Owner], changed: Mapping[UUID, str]) -> list[Place]:
    """Let the entries of messages that were changed say what the messages say now; gives where these stand."""
    places: list[Place] = []
    buried: dict[int, list[str]] = defaultdict(list)
    sources: dict[UUID, list[Source]] = defaultdict(list)
    for source in Source.objects.filter(message_id__in=changed).order_by("start"):
        sources[source.message_id].append(source)
    rows = Entry.objects.select_for_update(no_key=True).filter(owner__in=owners, message_id__in=changed)
    for entry in rows.order_by("pk").defer("embedding"):
        assert entry.message_id is not None
        before, text = entry.text, changed[entry.message_id]
        if text == before:
            continue
        places.append((entry.conversation_id, entry.seq))
        buried[entry.owner_id].append(tombstones.message(before, entry.speaker, entry.said_at))
        _move(sources[entry.message_id], before, text)
        if text == FORGOTTEN:
            entry.delete()
            continue
        entry.text, entry.context, entry.embedding, entry.embedder = text, "", None, ""
        entry.content_hash = content_hash(text)
        entry.terms = keeping.terms_of(entry.owner_id, text, entry.language)
        entry.save(update_fields=["text", "context", "embedding", "embedder", "content_hash", "terms"])
    for owner_id, texts in buried.items():
        tombstones.put(owner_id, *texts)
    return places


def clear_after(places: Iterable[Place]) -> None:
    """Take these messages out of the contexts of those that follow, and out of what is kept of reading them."""
    known = [(conversation_id, seq) for conversation_id, seq in places if conversation_id]
    if not known:
        return
    conversations = [conversation_id for conversation_id, _ in known]
    with connection.cursor() as cursor:
        cursor.execute(_CONTEXTS, {"conversations": conversations, "seqs": [seq for _, seq in known]})
        cursor.execute(_READINGS, {"conversations": sorted(set(conversations))})


def scrub_answers(owner: Owner, what: Scrub, said: Collection[str]) -> None:
    """Scrub what the person is given again when they repeat a request; `said` are messages that are gone whole."""
    rows = IdempotentRequest.objects.filter(workspace=owner.workspace_id, user=owner.user_id, status__isnull=False)
    for row in rows.exclude(response=None).only("pk", "response").iterator():
        if (left := _answer(row.response, what, said)) != row.response:
            IdempotentRequest.objects.filter(pk=row.pk).update(response=left)


def _answer(value: object, what: Scrub, said: Collection[str]) -> object:
    """An answer without what is forgotten where it tells something; states and ids stay what they are."""
    if isinstance(value, list):
        return [_answer(one, what, said) for one in value]
    if not isinstance(value, dict):
        return value
    gone = str(value.get("id")) in {str(one) for one in what.entries}
    left = {name: _answer(one, what, said) for name, one in value.items()}
    for name in _TOLD & {*value}:
        whole = gone or (isinstance(value[name], str) and value[name] in said)
        left[name] = blanked(value[name]) if whole else what.json(value[name], near=False)
    return left


def _move(sources: Sequence[Source], before: str, text: str) -> None:
    """Let the sources in a message name the same words in what is left of it, or no words where these went."""
    if not sources:
        return
    moved: dict[tuple[UUID, int], Source] = {}
    for one in sources:
        quote, cut = before[one.start : one.end], len(before) - len(text)
        at = text.find(quote, max(0, one.start - cut)) if quote else -1
        start, end = (at, at + len(quote)) if at >= 0 else (0, 0)
        source = Source(entry_id=one.entry_id, conversation_id=one.conversation_id, message_id=one.message_id)
        source.start, source.end = start, end
        moved.setdefault((one.entry_id, start), source)
    Source.objects.filter(pk__in=[one.pk for one in sources]).delete()
    Source.objects.bulk_create(moved.values())
