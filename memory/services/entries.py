"""Use cases of single memories: write, change, undo, accept.

Whoever writes to an owner's memory holds the owner's row, so that two writers to one slot leave one active entry. A
new fact supersedes the old one, which stays; an entry that is changed in place keeps what it was as a revision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime

from accounts.models import Actor, User
from approvals.services import audit
from companions.models import Companion
from core.errors import Conflict, Invalid, NotFound
from core.ledger import Who
from memory import slots
from memory.models import Author, Entry, Kind, Owner, Revision, Source, Status
from memory.services import keeping, machines, owners, tombstones
from memory.services.normalising import checked, content_hash

MOST_ENTRIES = 50_000  # of an owner, messages not counted
PEOPLE = (Author.PERSON, Author.MANAGER)
CHANGED = ("text", "slot", "pinned", "metadata", "expires_at")
STANDS_THERE = "Another memory stands there. Forget it first, or change that one."
_KEPT_OF_A_REVISION = (*CHANGED, "author", "single", "confidence")


class UnknownMemory(NotFound):
    """No memory of the caller's has this id."""

    code = "unknown_memory"
    title = "There is no such memory"


class NotEditable(Conflict):
    """What was said was said."""

    code = "not_editable"
    default_detail = "This is a message as it was said. Forget it, or write down what is right as a memory of its own."


class NothingToUndo(Conflict):
    """The entry was neither changed nor did it supersede another."""

    code = "nothing_to_undo"
    title = "There is nothing to undo"


class NotPending(Conflict):
    """The entry does not wait for its person."""

    code = "not_pending"
    title = "The memory waits for nobody"


class MemoryFull(Conflict):
    """The owner has as many entries as may be."""

    code = "memory_full"
    title = "The memory is full"


@dataclass(frozen=True, slots=True)
class By:
    """Who writes: the kind of author, the person who does it if one does, and how the audit log names them."""

    author: Author
    who: Who
    user: User | None = None

    @classmethod
    def person(cls, actor: Actor) -> "By":
        """The person themselves."""
        return cls(Author.PERSON, audit.person(actor), actor.user)


@dataclass(frozen=True, slots=True)
class Span:
    """Where in a message something was said, in characters; `said` is the message as it was read, if it is told."""

    conversation_id: UUID | None
    message_id: UUID
    start: int
    end: int
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A memory that is to be written."""

    layer: str
    text: str
    slot: str = ""
    kind: Kind = Kind.NOTE
    metadata: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None
    said_at: datetime | None = None
    pinned: bool = False
    confidence: float = 1.0
    model: str = ""
    language: str = ""
    sources: Sequence[Span] = ()
    wait: bool = False  # for the person, whoever wrote it
    replaces: UUID | None = None  # besides what stands in its slot


def find(actor: Actor, entry_id: UUID) -> Entry:
    """The caller's memory; raises UnknownMemory."""
    rows = Entry.objects.visible_to(actor).select_related("owner__companion")
    found: Entry | None = rows.filter(pk=entry_id).first()
    if found is None:
        raise UnknownMemory(f"No memory {entry_id} is yours. GET /v1/ai/memory lists them.")
    return found


def write_for(actor: Actor, companion: Companion | None, new: New) -> tuple[Entry, bool]:
    """Write a memory of the caller's, with a companion or for all; raises as `write`."""
    if companion is not None and new.layer not in companion.memory_layers:
        raise Invalid.field("layer", f"{companion.name} does not keep {new.layer}", "layer_not_kept")
    return write(owners.of(actor, companion), new, by=By.person(actor))


@transaction.atomic
def write(owner: Owner, new: New, *, by: By) -> tuple[Entry, bool]:
    """Store a memory; gives it and True, or the equal one that was there and False.

    In a slot of which a person has one it supersedes what stood there; what a machine writes waits for the person
    (`pending`) where a person wrote, changed or pinned that. Raises Invalid for what does not fit, MemoryFull, and of
    a machine what `machines.check` raises.
    """
    text = checked(new.text)
    single = slots.check(new.layer, new.slot)
    hashed = content_hash(text)
    _lock(owner)
    if by.author in PEOPLE:
        tombstones.lift(owner, text)
    else:
        machines.check(owner, by.author, text, {one.message_id: one.said for one in new.sources if one.said})
    there = owner.entries.exclude(kind=Kind.MESSAGE).exclude(status=Status.SUPERSEDED)
    same: Entry | None = there.filter(layer=new.layer, slot=new.slot, content_hash=hashed).first()
    if same is not None:
        return _once_more(same, new, by), False
    if there.count() >= MOST_ENTRIES:
        raise MemoryFull(f"There are {MOST_ENTRIES:,} memories. Forget some first.")
    before = _in_its_place(there.filter(status=Status.ACTIVE, layer=new.layer), new, single=single)
    waits = new.wait or (before is not None and by.author not in PEOPLE and _is_a_persons(before))
    entry = Entry(
        owner=owner,
        layer=new.layer,
        kind=new.kind,
        slot=new.slot,
        single=single,
        text=text,
        metadata=dict(new.metadata),
        expires_at=new.expires_at,
        said_at=new.said_at or Now(),
        valid_from=new.said_at or Now(),
        pinned=new.pinned,
        confidence=new.confidence,
        author=by.author,
        speaker=Author.PERSON,
        model=new.model,
        language=new.language,
        status=Status.PENDING if waits else Status.ACTIVE,
        replaces=before if waits else None,
        content_hash=hashed,
        terms=keeping.terms_of(owner.pk, text, new.language),
    )
    if before is not None and not waits:
        _supersede(before, entry)
    entry.save(force_insert=True)
    entry.refresh_from_db(fields=["said_at", "valid_from"])
    if before is not None and not waits:
        Entry.objects.filter(pk=before.pk).update(superseded_by=entry, valid_to=entry.valid_from)
    Source.objects.bulk_create(
        Source(
            entry=entry, conversation_id=one.conversation_id, message_id=one.message_id, start=one.start, end=one.end
        )
        for one in new.sources
    )
    _record("memory.written", owner, entry, by, superseded=str(before.pk) if before and not waits else None)
    entry.refresh_from_db()
    return entry, True


def _in_its_place(active: QuerySet[Entry], new: New, *, single: bool) -> Entry | None:
    """What a new one supersedes: what stands in its slot of one alone, else what it says that it replaces."""
    found: Entry | None = active.filter(slot=new.slot, single=True).first() if single else None
    return found or (active.filter(pk=new.replaces).first() if new.replaces else None)


@transaction.atomic
def change(entry: Entry, *, by: By, **said: Any) -> Entry:
    """Change a memory in place: `text`, `slot`, `pinned`, `metadata`, `expires_at`; what it was stays as a revision.

    Raises NotEditable for a message, Invalid for what does not fit, UnknownMemory.
    """
    owner = entry.owner
    _lock(owner)
    locked = _locked(entry)
    if locked.kind == Kind.MESSAGE and {*said} - {"pinned"}:
        raise NotEditable
    before = _snapshot(locked)
    for name, value in said.items():
        assert name in CHANGED, name
        setattr(locked, name, value)
    _fit(locked)
    if _snapshot(locked) == before:
        return locked
    _check_place(locked)
    if "text" in said or "slot" in said:
        locked.author, locked.confidence = by.author, 1.0
    _keep_revision(locked, before, by)
    _store(locked, told_anew=locked.text != before["text"])
    _record("memory.changed", owner, locked, by, fields=sorted(said))
    return locked


@transaction.atomic
def undo(entry: Entry, *, by: By) -> Entry:
    """Take the last change back, or, of an entry that superseded another, put that one in its place again.

    Gives the entry that is active now. Raises NothingToUndo, UnknownMemory.
    """
    _lock(entry.owner)
    locked = _locked(entry)
    last: Revision | None = locked.revisions.order_by("-number").first()
    if last is not None:
        for name, value in last.before.items():
            setattr(locked, name, parse_datetime(value) if name == "expires_at" and value else value)
        _check_place(locked)
        last.delete()
        _store(locked, told_anew=True)
        _record("memory.undone", entry.owner, locked, by)
        return locked
    older: Entry | None = locked.supersedes.order_by("-valid_to", "-id").first()
    if older is None or locked.status != Status.ACTIVE:
        raise NothingToUndo("It was neither changed nor did it take another's place.")
    _check_text(older, but=locked)
    Entry.objects.filter(pk=older.pk).update(superseded_by=None)
    locked.status, locked.valid_to, locked.superseded_by = Status.SUPERSEDED, Now(), older
    locked.save(update_fields=["status", "valid_to", "superseded_by"])
    older.status, older.valid_to, older.updated_at = Status.ACTIVE, None, Now()
    older.save(update_fields=["status", "valid_to", "updated_at"])
    _record("memory.undone", entry.owner, older, by)
    return _locked(older)


@transaction.atomic
def accept(entry: Entry, *, by: By) -> Entry:
    """Let a memory that waited count, in the place of what stood in its slot, or of what it is to replace.

    Raises NotPending, UnknownMemory, Conflict where another says the same already.
    """
    _lock(entry.owner)
    locked = _locked(entry)
    if locked.status != Status.PENDING:
        raise NotPending
    in_place = Q(pk=locked.replaces_id)
    if locked.single:
        in_place |= Q(layer=locked.layer, slot=locked.slot, single=True)
    before = list(entry.owner.entries.filter(in_place, status=Status.ACTIVE))
    for one in before:
        _supersede(one, locked)
    _check_text(locked)
    locked.status, locked.author, locked.replaces, locked.updated_at = Status.ACTIVE, by.author, None, Now()
    locked.save(update_fields=["status", "author", "replaces", "updated_at"])
    Entry.objects.filter(pk__in=[one.pk for one in before]).update(superseded_by=locked)
    _record("memory.accepted", entry.owner, locked, by)
    return _locked(locked)


def _once_more(same: Entry, new: New, by: By) -> Entry:
    """What is there already, written again: what waited counts if a person says it, and what had expired is renewed."""
    if same.status == Status.PENDING and by.author in PEOPLE:
        return accept(same, by=by)
    if same.expires_at and not Entry.objects.live().filter(pk=same.pk).exists():
        same.expires_at, same.updated_at = new.expires_at, Now()
        same.save(update_fields=["expires_at", "updated_at"])
        same.refresh_from_db(fields=["updated_at"])
    return same


def _is_a_persons(entry: Entry) -> bool:
    return entry.pinned or entry.author in PEOPLE


def _lock(owner: Owner) -> None:
    Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)


def _locked(entry: Entry) -> Entry:
    rows = Entry.objects.select_for_update(of=("self",), no_key=True).select_related("owner__companion")
    found: Entry | None = rows.filter(pk=entry.pk).first()
    if found is None:
        raise UnknownMemory("The memory was forgotten meanwhile.")
    return found


def _supersede(before: Entry, entry: Entry) -> None:
    """Close the validity of what stood there, before its successor takes the slot."""
    Entry.objects.filter(pk=before.pk).update(
        status=Status.SUPERSEDED, valid_to=entry.valid_from or Now(), updated_at=Now()
    )


def _fit(entry: Entry) -> None:
    if entry.kind == Kind.MESSAGE:  # it is longer than what is written down may be, and stays as it was said
        return
    entry.text = checked(entry.text)
    entry.single = slots.check(entry.layer, entry.slot)
    entry.content_hash = content_hash(entry.text)


def _check_place(entry: Entry) -> None:
    """Raises Conflict where another active entry says the same, or has the slot."""
    if entry.status != Status.ACTIVE or entry.kind == Kind.MESSAGE:
        return
    _check_text(entry)
    others = entry.owner.entries.filter(layer=entry.layer, slot=entry.slot, single=True, status=Status.ACTIVE)
    if entry.single and others.exclude(pk=entry.pk).exists():
        raise Conflict(STANDS_THERE)


def _check_text(entry: Entry, *, but: Entry | None = None) -> None:
    """Raises Conflict where another active entry says the same, `but` this one."""
    others = entry.owner.entries.filter(layer=entry.layer, slot=entry.slot, content_hash=entry.content_hash)
    others = others.filter(status=Status.ACTIVE).exclude(kind=Kind.MESSAGE)
    if others.exclude(pk__in=[entry.pk, *([but.pk] if but else [])]).exists():
        raise Conflict(STANDS_THERE)


def _snapshot(entry: Entry) -> dict[str, Any]:
    told = {name: getattr(entry, name) for name in _KEPT_OF_A_REVISION}
    return {**told, "expires_at": entry.expires_at.isoformat() if entry.expires_at else None}


def _keep_revision(entry: Entry, before: dict[str, Any], by: By) -> None:
    last = entry.revisions.order_by("-number").values_list("number", flat=True).first() or 0
    Revision.objects.create(entry=entry, number=last + 1, before=before, author=by.author, changed_by=by.user)


def _store(entry: Entry, *, told_anew: bool) -> None:
    fields = [*_KEPT_OF_A_REVISION, "content_hash", "updated_at"]
    entry.updated_at = Now()
    if told_anew:
        entry.content_hash = content_hash(entry.text)
        entry.terms = keeping.terms_of(entry.owner_id, entry.text, entry.language)
        entry.embedding, entry.embedder = None, ""
        fields += ["terms", "embedding", "embedder"]
    entry.save(update_fields=fields)
    entry.refresh_from_db()


def _record(type_: str, owner: Owner, entry: Entry, by: By, **data: Any) -> None:
    """Tell the log what was done, not what is remembered: that can be forgotten, and the log cannot be changed."""
    told = {"layer": entry.layer, "type": entry.slot, "status": entry.status, "author": by.author.value, **data}
    audit.record(
        audit.Entry(
            type=type_,
            workspace_id=owner.workspace_id,
            who=by.who,
            target=("memory", entry.pk),
            data={name: value for name, value in told.items() if value not in (None, "")},
        )
    )
