"""Memories out of the installation and into it: as JSON Lines, and to read as Markdown.

An import is idempotent: what is there already, by its text or by the message that it names, is not stored twice, so
that one which broke off is begun again. Messages of old conversations become entries as if they had been said here.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import Actor
from approvals.services import audit
from companions import directory
from companions.models import Companion, Layer
from core.errors import DomainError, Invalid
from core.ledger import Who
from memory.models import Author, Entry, Kind, Owner, Status
from memory.services import entries, keeping, machines, owners, tombstones
from memory.services.entries import By, New
from memory.services.keeping import Told
from memory.services.normalising import content_hash

MOST_AT_ONCE = 1_000
PAGE = 500
FIELDS = frozenset(
    {
        "kind", "layer", "type", "content", "companion_type", "source", "confidence", "status", "pinned", "metadata",
        "said_at", "valid_to", "expires_at", "conversation", "speaker", "created_at",
    }
)  # fmt: skip
TITLES = {Layer.IDENTITY: "Who you are", Layer.PREFERENCES: "What you like", Layer.HISTORY: "What was said"}
"""As the page calls them."""


@dataclass(slots=True)
class Imported:
    """What became of an import: `refused` says of each entry that was not taken which it was, and why."""

    added: int = 0
    same: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)


def export(actor: Actor, *, companion: Companion | None = None, who: Who | None = None) -> Iterator[dict[str, Any]]:
    """The caller's memories as plain values, layer by layer, the oldest first; what was superseded says so.

    `who` takes them, the caller unless another is named. It asks for a page at a time, from whichever thread goes on.
    """
    told = {"companion": companion.type} if companion else {}
    with transaction.atomic():
        audit.record(
            audit.Entry(
                type="memory.exported",
                workspace_id=actor.workspace.pk,
                who=who or audit.person(actor),
                target=("person", actor.user.pk),
                data=told,
            )
        )
    owners_ = Owner.objects.visible_to(actor).select_related("companion").order_by("pk")
    if companion is not None:
        owners_ = owners_.filter(companion=companion)
    found = list(owners_)
    for layer, owner in product(TITLES, found):
        rows = owner.entries.filter(layer=layer).defer("terms", "embedding").order_by("id")
        page = list(rows[:PAGE])
        while page:
            for entry in page:
                entry.owner = owner
                yield _plain(entry)
            page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE]) if len(page) == PAGE else []


def as_lines(told: Iterable[dict[str, Any]]) -> Iterator[str]:
    """JSON Lines."""
    for one in told:
        yield json.dumps(one, ensure_ascii=False) + "\n"


def as_markdown(told: Iterable[dict[str, Any]]) -> Iterator[str]:
    """To read: what counts now, layer by layer, each under what the page and the API call it."""
    yield "# What is remembered of you\n"
    layer = None
    for one in told:
        if one["status"] != Status.ACTIVE:
            continue
        if layer != one["layer"]:
            layer = one["layer"]
            yield f"\n## {TITLES[layer]} ({layer})\n\n"
        who = {"companion": "the companion", "person": "you"}.get(one.get("speaker", ""), "you")
        label = f"**{one['type']}**: " if one["type"] and one["kind"] != Kind.MESSAGE else ""
        said = f" ({who})" if one["kind"] == Kind.MESSAGE else ""
        yield f"- {one['said_at'][:10]}{said}: {label}{' '.join(one['content'].split())}\n"


def load(actor: Actor, told: Sequence[Any], *, companion: Companion | None = None, who: Who | None = None) -> Imported:
    """Store memories of an export, or messages of old conversations; raises Invalid for more than MOST_AT_ONCE.

    Each is stored or refused by itself, with the companion that is named for all of them, else with the one that it
    names, else for all of the caller's. Neighbouring messages are to stand in the order in which they were said.
    """
    if len(told) > MOST_AT_ONCE:
        raise Invalid.field("memories", f"{MOST_AT_ONCE:,} at most at once; send them in parts", "max_length")
    by, done = By(Author.IMPORT, who or audit.person(actor), actor.user), Imported()
    homes = _Homes(actor, companion)
    said: dict[Owner, list[tuple[int, Told]]] = {}
    for place, one in enumerate(told):
        try:
            _check(one)
            owner, of = homes.of(_text(one, "companion_type"))
            if one.get("kind") == Kind.MESSAGE:
                _check_kept(of, Layer.HISTORY)
                said.setdefault(owner, []).append((place, _message(homes, owner, one)))
            else:
                _, is_new = entries.write(owner, _new(one, of), by=by)
                done.added, done.same = done.added + is_new, done.same + (not is_new)
        except DomainError as error:
            done.refused.append({"index": place, "code": error.code, "detail": error.detail})
    with transaction.atomic():
        for owner, placed in said.items():
            messages = _not_forgotten(owner, placed, done)
            added = keeping.keep_old(owner, _not_there(owner, messages))
            done.added, done.same = done.added + added, done.same + len(messages) - added
        data = {"added": done.added, "same": done.same, "refused": len(done.refused)}
        target = ("person", actor.user.pk)
        audit.record(
            audit.Entry(type="memory.imported", workspace_id=actor.workspace.pk, who=by.who, target=target, data=data)
        )
    return done


class _Homes:
    """Where what is imported goes: each owner and each conversation is looked for once."""

    def __init__(self, actor: Actor, companion: Companion | None) -> None:
        self.actor, self.companion = actor, companion
        self._owners: dict[str, tuple[Owner, Companion | None]] = {}
        self._conversations: dict[tuple[int, str], UUID] = {}

    def of(self, type_: str) -> tuple[Owner, Companion | None]:
        """The owner with its companion; raises UnknownCompanion."""
        if type_ not in self._owners:
            companion = self.companion or (directory.find(self.actor, type_[:60]) if type_ else None)
            self._owners[type_] = owners.of(self.actor, companion), companion
        return self._owners[type_]

    def conversation(self, owner: Owner, name: str) -> UUID:
        """The owner's conversation of this id, which an export of theirs names, or one that is made of the name."""
        place = owner.pk, name
        if place not in self._conversations:
            try:
                theirs: UUID | None = UUID(name)
            except ValueError:
                theirs = None
            there = theirs is not None and owner.entries.filter(conversation_id=theirs).exists()
            self._conversations[place] = theirs if theirs and there else uuid5(UUID(int=owner.pk), name)
        return self._conversations[place]


def _not_forgotten(owner: Owner, placed: Sequence[tuple[int, Told]], done: Imported) -> list[Told]:
    """The messages without those that the person had forgotten, which are noted as refused."""
    marks = [tombstones.message(one.text, one.speaker, one.said_at) if one.said_at else "" for _, one in placed]
    gone = tombstones.held(owner, marks)
    error = machines.Forgotten()
    told = {"code": error.code, "detail": error.detail}
    done.refused += [{"index": place, **told} for (place, _), mark in zip(placed, marks, strict=True) if mark in gone]
    done.refused.sort(key=lambda one: int(one["index"]))
    return [one for (_, one), mark in zip(placed, marks, strict=True) if mark not in gone]


def _not_there(owner: Owner, messages: Sequence[Told]) -> list[Told]:
    """The messages that the owner does not have as they were said here, under ids of their own."""
    hashes = [content_hash(one.text) for one in messages]
    rows = owner.entries.filter(kind=Kind.MESSAGE, conversation_id__in={one.conversation_id for one in messages})
    there = set(rows.filter(content_hash__in=hashes).values_list("content_hash", "said_at", "speaker"))
    return [
        one for one, hashed in zip(messages, hashes, strict=True) if (hashed, one.said_at, one.speaker) not in there
    ]


def _plain(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": entry.kind,
        "layer": entry.layer,
        "type": entry.slot,
        "content": entry.text,
        "companion_type": entry.owner.companion.type if entry.owner.companion else None,
        "source": entry.author,
        "confidence": entry.confidence,
        "status": entry.status,
        "pinned": entry.pinned,
        "metadata": entry.metadata,
        "said_at": entry.said_at.astimezone(UTC).isoformat(),
        "valid_to": entry.valid_to.astimezone(UTC).isoformat() if entry.valid_to else None,
        "expires_at": entry.expires_at.astimezone(UTC).isoformat() if entry.expires_at else None,
    }
    if entry.kind == Kind.MESSAGE:
        told |= {"conversation": str(entry.conversation_id), "speaker": entry.speaker}
    return told


def _new(one: Any, companion: Companion | None) -> New:
    """An entry of an import as it is to be written; raises Invalid."""
    layer = one.get("layer")
    if layer not in Layer.values:
        raise Invalid.field("layer", f"one of {', '.join(Layer.values)}")
    _check_kept(companion, layer)
    if one.get("status", Status.ACTIVE) == Status.SUPERSEDED:
        raise Invalid.field("status", "what was superseded is not taken over")
    metadata, confidence = one.get("metadata", {}), one.get("confidence", 1.0)
    if not isinstance(metadata, dict) or len(json.dumps(metadata)) > 4_000:
        raise Invalid.field("metadata", "an object of 4,000 characters at most")
    if not isinstance(confidence, int | float) or isinstance(confidence, bool) or not 0 <= confidence <= 1:
        raise Invalid.field("confidence", "a number from 0 to 1")
    expires_at = _time(one, "expires_at")
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid.field("expires_at", "its time is over", "past")
    return New(
        layer=layer,
        text=_text(one, "content"),
        slot=_text(one, "type"),
        metadata=metadata,
        said_at=_time(one, "said_at"),
        expires_at=expires_at,
        pinned=one.get("pinned") is True,
        confidence=float(confidence),
        wait=one.get("status") == Status.PENDING,
    )


def _message(homes: _Homes, owner: Owner, one: dict[str, Any]) -> Told:
    """A message of an old conversation; its ids are made of what it is, so that it is stored once. Raises Invalid."""
    speaker, at = one.get("speaker", "person"), _time(one, "said_at")
    if speaker not in (Author.PERSON, Author.COMPANION):
        raise Invalid.field("speaker", "person or companion")
    if at is None:
        raise Invalid.field("said_at", "when it was said, such as 2026-01-31T12:00:00Z", "required")
    text = keeping.checked_message(_text(one, "content"))
    space = homes.conversation(owner, _text(one, "conversation")[:200])
    return Told(
        conversation_id=space,
        message_id=uuid5(space, f"{at.isoformat()} {speaker} {text}"),
        speaker=speaker,
        text=text,
        said_at=at,
    )


def _check(one: Any) -> None:
    if not isinstance(one, dict):
        raise Invalid("Each memory is an object, as the export has it.")
    if unknown := sorted({*one} - FIELDS):
        raise Invalid.field(str(unknown[0])[:100], "is not known here", "unknown_field")


def _check_kept(companion: Companion | None, layer: str) -> None:
    if companion is not None and layer not in companion.memory_layers:
        raise Invalid.field("layer", f"{companion.name} does not keep {layer}", "layer_not_kept")


def _text(one: dict[str, Any], name: str) -> str:
    value = one.get(name) or ""
    if not isinstance(value, str):
        raise Invalid.field(name, "must be a text", "wrong_type")
    return value


def _time(one: dict[str, Any], name: str) -> datetime | None:
    value = one.get(name)
    if value is None:
        return None
    try:
        found = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1900 <= found.year <= 2200:
        raise Invalid.field(name, "a time with its zone, such as 2026-01-31T12:00:00Z")
    return found
