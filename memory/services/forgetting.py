"""Forgetting: what is forgotten is gone from table, index, transcript and log, and can be proved to be.

What is taken out where:

- Memories: what is forgotten, what it was before and what it superseded, what says the same, and what was drawn from it
  alone. What follows a forgotten message no longer has it as its context.
- Transcripts: a message that is forgotten by itself is gone whole, with its images and what tools without effect were
  told for its answer; of the answer to it, and of answers that were told of it, the sentences go that share a word with
  it. Of others the sentences go that are a memory's source, or say all of it; of messages that do, of
  what answers them, and of turns that were told of it or had tools remember, recall or forget it, those that share a
  word with it, also where other agents were asked in such a turn. Which words count: memory/scrub.py.
- What tools were told and gave, with the requests to countersign it and the log's copies: of `remember`, `recall` and
  `forget`, and of tools without effect that nobody was asked to countersign. What had an effect, or was to be
  countersigned, is evidence: no choice of words takes it out, and it goes with the person (`audit erase`) alone.

An answer that is being given is waited for. What waits itself is scrubbed, unless a call that waits tells of it.

The apps above register what scrubs their transcripts. What stays is a tombstone, by which neither extraction nor an
import brings it back, and an event with the same keyed hash.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Actor
from approvals.services import audit
from companions.models import Companion
from core.errors import Invalid, NotFound
from memory.models import Entry, Kind, Owner, Reading, Revision, Source, Status
from memory.scrub import EVERYDAY, VERBS, Fact, Scrub, common, fact
from memory.services import keeping, mending, tombstones
from memory.services.entries import By, UnknownMemory
from memory.services.normalising import content_hash

MOST_TOLD = 100  # keyed hashes in an event
MOST_CUT = 100  # messages that a preview tells of


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What goes from a message: its sentences as they stand, and what is left of it."""

    message_id: UUID
    conversation_id: UUID
    by_person: bool
    sentences: Sequence[str]
    left: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What forgetting would take: how many memories, and of how many messages which sentences, the newest first."""

    memories: int
    messages: int
    cuts: Sequence[Cut]


Transcript = Callable[[Owner, Scrub, By], list[Cut]]
"""Takes what is forgotten out of an owner's transcripts; gives what went from which messages."""

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
    owners = _held(Owner.objects.filter(workspace=entry.owner.workspace_id, user=entry.owner.user_id))
    if not (gone := _forget(owners, Entry.objects.filter(pk=entry.pk), by=by, transcripts=transcripts)):
        raise UnknownMemory("The memory was forgotten meanwhile.")
    return gone


@transaction.atomic
def preview(entry: Entry, *, by: By) -> Preview:
    """What `forget` would take now, found by doing it and taking all of it back. Raises as `forget` does."""
    cuts: list[Cut] = []
    owners = _held(Owner.objects.filter(workspace=entry.owner.workspace_id, user=entry.owner.user_id))
    gone = _forget(owners, Entry.objects.filter(pk=entry.pk), by=by, transcripts=True, cuts=cuts)
    transaction.set_rollback(True)
    if not gone:
        raise UnknownMemory("The memory was forgotten meanwhile.")
    cuts.sort(key=lambda one: one.message_id, reverse=True)
    return Preview(gone, len(cuts), cuts[:MOST_CUT])


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
    owners = hold(actor)
    rows = Q() if session_id is None else _of_conversation(session_id)
    if companion is not None:
        rows &= Q(owner__companion=companion)
    if since is not None:
        rows &= Q(said_at__gte=since)
    if until is not None:
        rows &= Q(said_at__lt=until)
    done = _forget(owners, Entry.objects.filter(rows), by=By.person(actor), transcripts=not keep_transcript)
    if session_id is not None and not done:
        raise UnknownSession(f"Nothing is remembered of you from a session {session_id}.")
    return done


def hold(actor: Actor) -> list[Owner]:
    """Let nobody else write to the caller's memories until the transaction ends; to be asked before conversations."""
    return _held(Owner.objects.visible_to(actor))


def forget_conversation(actor: Actor, session_id: UUID) -> int:
    """Forget what comes from a conversation of the caller's that was deleted; gives how many entries went.

    To be called within a transaction that holds (`hold`) the caller's memories.
    """
    owners = hold(actor)
    rows = Entry.objects.filter(_of_conversation(session_id))
    done = _forget(owners, rows, by=By.person(actor), transcripts=False)
    Source.objects.filter(entry__owner__in=owners, conversation_id=session_id).delete()
    Reading.objects.filter(owner__in=owners, conversation_id=session_id).delete()
    return done


def _held(owners: QuerySet[Owner]) -> list[Owner]:
    return list(owners.select_for_update(no_key=True).order_by("pk"))


def _of_conversation(session_id: UUID) -> Q:
    """What was said in a conversation, or drawn from it and from no other."""
    drawn = Source.objects.filter(conversation_id=session_id).values("entry")
    elsewhere = Source.objects.filter(entry=OuterRef("pk")).exclude(conversation_id=session_id)
    return Q(conversation_id=session_id) | (Q(pk__in=drawn) & ~Q(Exists(elsewhere)))


def _forget(
    owners: Sequence[Owner], which: QuerySet[Entry], *, by: By, transcripts: bool, cuts: list[Cut] | None = None
) -> int:
    """Forget these of one person's memories, all of which are held; gives how many entries went, and fills `cuts`."""
    rows = Entry.objects.filter(owner__in=owners).defer("terms", "embedding").prefetch_related("revisions")
    chosen = list(rows.filter(pk__in=which.values("pk")))
    if not chosen:
        return 0
    gone = _with_older(rows, chosen)
    gone |= _drawn_from(rows, [one.message_id for one in gone.values() if one.kind == Kind.MESSAGE and one.message_id])
    gone |= _saying_the_same(rows, gone)
    texts = _bury(gone.values())
    what = _scrub(gone.values(), [text for _, text in texts])
    Entry.objects.filter(pk__in=gone).delete()
    what = replace(what, messages=_saying(owners, what), others=_others(owners, what))
    changed = _without(rows, what)
    for scrubs in _transcripts if transcripts else ():
        taken = scrubs(owners[0], what, by)
        changed |= {one.message_id: one.left for one in taken if one.message_id not in what.whole}
        if cuts is not None:
            cuts += taken
    said = [one for one in gone.values() if one.kind == Kind.MESSAGE]
    mending.scrub_answers(owners[0], what.quoted, {one.text for one in said})
    places = [(one.conversation_id, one.seq) for one in said]
    mending.clear_after([*places, *mending.tell_anew(owners, changed)])
    _record(owners[0], gone.values(), texts, by)
    return len(gone)


def _with_older(rows: QuerySet[Entry], chosen: Sequence[Entry]) -> dict[UUID, Entry]:
    """The entries with all that they superseded, one after the other."""
    found = {one.pk: one for one in chosen}
    row = list(found)
    while row:
        older = list(rows.filter(superseded_by__in=row, status=Status.SUPERSEDED).exclude(pk__in=found))
        found |= {one.pk: one for one in older}
        row = [one.pk for one in older]
    return found


def _drawn_from(rows: QuerySet[Entry], messages: Collection[UUID]) -> dict[UUID, Entry]:
    """The entries that were drawn from these messages and from no other."""
    if not messages:
        return {}
    drawn = Source.objects.filter(message_id__in=messages).values("entry")
    others = Source.objects.filter(entry=OuterRef("pk")).exclude(message_id__in=messages)
    return _with_older(rows, list(rows.filter(~Exists(others), pk__in=drawn)))


def _saying_the_same(rows: QuerySet[Entry], gone: dict[UUID, Entry]) -> dict[UUID, Entry]:
    """The owners' other entries with the same text, in whichever layer and slot; no other was it before either."""
    wanted = {(one.owner_id, content_hash(text)) for one in gone.values() for text in _texts(one)}
    if not wanted:
        return {}
    hashes = {hashed for _, hashed in wanted}
    others = rows.exclude(kind=Kind.MESSAGE).exclude(pk__in=gone)
    same = [one for one in others.filter(content_hash__in=hashes) if (one.owner_id, one.content_hash) in wanted]
    found = _with_older(rows, same)
    before = Revision.objects.filter(entry__owner__in={owner_id for owner_id, _ in wanted}).exclude(
        entry__in={*gone, *found}
    )
    told = before.values_list("pk", "entry__owner_id", "before__text")
    said_before = [pk for pk, owner_id, text in told if (owner_id, content_hash(str(text))) in wanted]
    Revision.objects.filter(pk__in=said_before).delete()
    return found


def _texts(entry: Entry) -> list[str]:
    """What an entry says and said before; nothing for a message, of which there may be equal ones."""
    if entry.kind == Kind.MESSAGE:
        return []
    return [entry.text, *(str(one.before["text"]) for one in entry.revisions.all())]


def _bury(gone: Collection[Entry]) -> list[tuple[int, str]]:
    """Note that these are forgotten; gives what they say, and of which owner, without the messages."""
    texts = [(one.owner_id, text) for one in gone for text in _texts(one)]
    said = [
        (one.owner_id, tombstones.message(one.text, one.speaker, one.said_at))
        for one in gone
        if one.kind == Kind.MESSAGE
    ]
    for owner_id in {one.owner_id for one in gone}:
        tombstones.put(owner_id, *(text for of, text in [*texts, *said] if of == owner_id))
    return texts


def _scrub(gone: Collection[Entry], texts: Sequence[str]) -> Scrub:
    """What is to be taken out elsewhere."""
    facts = tuple({one for text in texts if (one := fact(text))})
    spans: dict[UUID, list[tuple[int, int]]] = {}
    for source in Source.objects.filter(entry__in=[one for one in gone if one.kind != Kind.MESSAGE]):
        spans.setdefault(source.message_id, []).append((source.start, source.end))
    messages = [one for one in gone if one.kind == Kind.MESSAGE]
    said = tuple({told for one in messages if (told := fact(one.text))})
    whole = frozenset(one.message_id for one in messages if one.message_id)
    spoken = [*texts, *(one.text for one in messages)]
    return Scrub(
        entries=frozenset(one.pk for one in gone),
        facts=facts,
        said=said,
        spans=spans,
        whole=whole,
        everyday=common(spoken, EVERYDAY),
        verbs=common(spoken, VERBS),
    )


def _others(owners: Sequence[Owner], what: Scrub) -> tuple[Fact, ...]:
    """What the memories say that stay, of those that have a verb of what is forgotten and something beside it."""
    texts = [text for owner in owners for text in keeping.noted(owner.pk, what.verbs)]
    return tuple(one for one in map(fact, texts) if {stem for word in one for stem in word} - what.verbs)


def _saying(owners: Sequence[Owner], what: Scrub) -> frozenset[UUID]:
    """The messages that say it, and are not gone themselves."""
    return frozenset[UUID]().union(*(keeping.saying_all(owner.pk, what.facts) for owner in owners))


def _without(rows: QuerySet[Entry], what: Scrub) -> dict[UUID, str]:
    """What is left of the messages that say what is forgotten, as they are remembered."""
    told = rows.filter(kind=Kind.MESSAGE, message_id__in=what.touched).values_list("message_id", "text")
    return {one: what.own.text(text, near=True, spans=what.spans.get(one, ())) for one, text in told if one}


def _record(owner: Owner, gone: Collection[Entry], texts: Iterable[tuple[int, str]], by: By) -> None:
    """Tell the log what went, as hashes that only whoever knows the text can hold against it."""
    said = {*texts, *((one.owner_id, one.text) for one in gone)}
    hashes = sorted(tombstones.keyed_hash(owner_id, text) for owner_id, text in said)
    audit.record(
        audit.Entry(
            type="memory.forgotten",
            workspace_id=owner.workspace_id,
            who=by.who,
            target=("memory", next(iter(gone)).pk) if len(gone) == 1 else None,
            data={"entries": len(gone), "keyed_hashes": hashes[:MOST_TOLD], "author": by.author.value},
        )
    )
