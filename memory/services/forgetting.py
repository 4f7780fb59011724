"""Forgetting: what is forgotten is gone from table, index, transcript and log, and can be proved to be.

A memory goes with what it was before, with what it superseded, and with what was drawn from it alone. What a message
says of it goes from the message too, wherever the apps above keep it: they register what takes it out there. What
stays is a tombstone, by which extraction does not bring it back, and an event with the same keyed hash.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Actor
from approvals.services import audit
from companions.models import Companion
from core.errors import Invalid, NotFound
from memory.models import Entry, Kind, Owner, Source, Status
from memory.scrub import FORGOTTEN, Scrub, fact
from memory.services import keeping, tombstones
from memory.services.entries import By, UnknownMemory
from memory.services.normalising import content_hash

MOST_TOLD = 100  # keyed hashes in an event
Transcript = Callable[[Owner, Scrub, By], dict[UUID, str]]
"""Takes what is forgotten out of an owner's transcripts; gives the new texts of the messages that it changed."""

_transcripts: list[Transcript] = []


def transcript(scrubs: Transcript) -> Transcript:
    """Register what takes forgotten things out of transcripts."""
    _transcripts.append(scrubs)
    return scrubs


class UnknownSession(NotFound):
    """Nothing of the caller's comes from a session of this id."""

    code = "unknown_session"
    title = "Nothing is remembered from this session"


@transaction.atomic
def forget(entry: Entry, *, by: By, transcripts: bool = True) -> int:
    """Forget a memory; gives how many entries went. Raises UnknownMemory, and what a transcript raises.

    Without `transcripts` the messages stay as they are where they were said, and are recalled without it.
    """
    return _forget(entry.owner, entry.owner.entries.filter(pk=entry.pk), by=by, transcripts=transcripts)


@transaction.atomic
def forget_all(
    actor: Actor,
    *,
    companion: Companion | None = None,
    session_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    everything: bool = False,
    keep_transcript: bool = False,
) -> int:
    """Forget what is kept of the caller: with a companion, of a conversation, of a time; gives how many entries went.

    Raises Invalid where nothing says which, and UnknownSession where nothing comes from the conversation.
    """
    if not (companion or session_id or since or until or everything):
        raise Invalid(
            "Say what to forget: companion_type, session_id, since, until, or all: true. "
            "With keep_transcript the messages stay in their sessions."
        )
    owners = Owner.objects.visible_to(actor).order_by("pk")
    if companion is not None:
        owners = owners.filter(companion=companion)
    rows = Q() if session_id is None else _of_conversation(session_id)
    if since is not None:
        rows &= Q(said_at__gte=since)
    if until is not None:
        rows &= Q(said_at__lt=until)
    by, done = By.person(actor), 0
    for owner in owners:
        found = owner.entries.filter(pk__in=owner.entries.filter(rows).values("pk"))
        if found.exists():
            done += _forget(owner, found, by=by, transcripts=not keep_transcript)
    if session_id is not None and not done:
        raise UnknownSession(f"Nothing is remembered of you from a session {session_id}.")
    return done


def hold(actor: Actor) -> None:
    """Let nobody else write to the caller's memories until the transaction ends; to be asked before conversations."""
    list(Owner.objects.visible_to(actor).select_for_update(no_key=True).order_by("pk").values_list("pk"))


def forget_conversation(actor: Actor, session_id: UUID) -> int:
    """Forget what comes from a conversation of the caller's that was deleted; gives how many entries went.

    To be called within a transaction that holds (`hold`) the caller's memories.
    """
    done = 0
    for owner in Owner.objects.visible_to(actor).order_by("pk"):
        found = owner.entries.filter(pk__in=owner.entries.filter(_of_conversation(session_id)).values("pk"))
        if found.exists():
            done += _forget(owner, found, by=By.person(actor), transcripts=False)
        Source.objects.filter(entry__owner=owner, conversation_id=session_id).delete()
    return done


def _of_conversation(session_id: UUID) -> Q:
    """What was said in a conversation, or drawn from it and from no other."""
    drawn = Source.objects.filter(conversation_id=session_id).values("entry")
    elsewhere = Source.objects.filter(entry=OuterRef("pk")).exclude(conversation_id=session_id)
    return Q(conversation_id=session_id) | (Q(pk__in=drawn) & ~Q(Exists(elsewhere)))


def _forget(owner: Owner, which: QuerySet[Entry], *, by: By, transcripts: bool = True) -> int:
    Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)
    chosen = list(which)
    if not chosen:
        raise UnknownMemory("The memory was forgotten meanwhile.")
    gone = _with_older(chosen)
    gone |= _drawn_from({one.message_id for one in gone.values() if one.kind == Kind.MESSAGE}, owner)
    texts = [one.text for one in gone.values() if one.kind != Kind.MESSAGE]
    texts += [str(one.before["text"]) for entry in gone.values() for one in entry.revisions.all()]
    tombstones.put(owner, *texts)
    scrub = _scrub(owner, gone, texts)
    Entry.objects.filter(pk__in=gone).delete()
    changed = _without(owner, scrub)
    for scrubs in _transcripts if transcripts else ():
        changed |= scrubs(owner, scrub, by)
    _told_anew(owner, changed)
    _record(owner, gone.values(), texts, by)
    return len(gone)


def _with_older(chosen: Sequence[Entry]) -> dict[UUID, Entry]:
    """The entries with all that they superseded, one after the other."""
    found = {one.pk: one for one in chosen}
    row = list(found)
    while row:
        older = Entry.objects.filter(superseded_by__in=row, status=Status.SUPERSEDED).exclude(pk__in=found)
        row = []
        for one in older:
            found[one.pk] = one
            row.append(one.pk)
    return found


def _drawn_from(messages: Iterable[UUID | None], owner: Owner) -> dict[UUID, Entry]:
    """The entries that were drawn from these messages and from no other."""
    ids = [one for one in messages if one]
    drawn = Source.objects.filter(message_id__in=ids).values("entry")
    others = Source.objects.filter(entry=OuterRef("pk")).exclude(message_id__in=ids)
    rows = owner.entries.filter(~Exists(others), pk__in=drawn)
    return _with_older(list(rows)) if ids else {}


def _scrub(owner: Owner, gone: dict[UUID, Entry], texts: Sequence[str]) -> Scrub:
    facts = tuple({one for text in texts if (one := fact(text))})
    spans: dict[UUID, list[tuple[int, int]]] = {}
    for source in Source.objects.filter(entry__in=[one for one in gone.values() if one.kind != Kind.MESSAGE]):
        spans.setdefault(source.message_id, []).append((source.start, source.end))
    saying: set[UUID] = set()
    for one in facts:
        saying |= set(keeping.saying_all(owner.pk, one))
    whole = frozenset(one.message_id for one in gone.values() if one.kind == Kind.MESSAGE and one.message_id)
    return Scrub(entries=frozenset(gone), facts=facts, spans=spans, whole=whole, messages=frozenset(saying))


def _without(owner: Owner, what: Scrub) -> dict[UUID, str]:
    """What is left of the messages that say what is forgotten, as they are remembered."""
    rows = owner.entries.filter(kind=Kind.MESSAGE, message_id__in=what.touched).values_list("message_id", "text")
    return {one: what.text(text, near=True, spans=what.spans.get(one, ())) for one, text in rows if one}


def _told_anew(owner: Owner, changed: dict[UUID, str]) -> None:
    """Let the entries of messages that were changed say what the messages say now."""
    for entry in owner.entries.select_for_update(no_key=True).filter(message_id__in=changed):
        assert entry.message_id is not None
        text = changed[entry.message_id]
        if text == FORGOTTEN:
            entry.delete()
            continue
        entry.text, entry.context, entry.embedding, entry.embedder = text, "", None, ""
        entry.content_hash = content_hash(text)
        entry.terms = keeping.terms_of(owner.pk, text, entry.language)
        entry.save(update_fields=["text", "context", "embedding", "embedder", "content_hash", "terms"])


def _record(owner: Owner, gone: Iterable[Entry], texts: Sequence[str], by: By) -> None:
    """Tell the log what went, as hashes that only whoever knows the text can hold against it."""
    entries = list(gone)
    hashes = sorted({tombstones.keyed_hash(owner.pk, text) for text in [*texts, *(one.text for one in entries)]})
    audit.record(
        audit.Entry(
            type="memory.forgotten",
            workspace_id=owner.workspace_id,
            who=by.who,
            target=("memory", entries[0].pk) if len(entries) == 1 else None,
            data={"entries": len(entries), "keyed_hashes": hashes[:MOST_TOLD], "author": by.author.value},
        )
    )
