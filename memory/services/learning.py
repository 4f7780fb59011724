"""Storing what was drawn from messages: within what the companion keeps, and never over what a person wrote."""

from collections.abc import Sequence
from uuid import UUID

from accounts.models import User
from companions.models import Layer
from core.errors import DomainError
from core.ledger import SYSTEM
from memory import terms
from memory.extraction import Fact
from memory.models import Author, Entry, Kind, Owner, Status
from memory.services import entries
from memory.services.entries import By, New, Span

LEAST_CONFIDENCE = 0.5
BY = By(Author.EXTRACTOR, SYSTEM)


def known(owner: Owner, *, most: int = 60) -> list[Entry]:
    """What is known already, which an extractor is told so that it neither repeats nor contradicts it unseen."""
    rows = owner.entries.live().exclude(kind=Kind.MESSAGE).defer("terms", "embedding")
    return list(rows.order_by("-updated_at")[:most])


def learn(owner: Owner, facts: Sequence[Fact], *, model: str) -> list[Entry]:
    """Store the facts that hold; gives the new entries.

    Who a person is and what they like they must have said by themselves, in words that the fact has too, else it waits
    for them. A fact of which the extractor says that it replaces another supersedes it, unless a person wrote that:
    then it waits. What was forgotten is left out, and what comes from a message that is not there any more.
    """
    layers = owner.companion.memory_layers if owner.companion else list(Layer)
    stored: list[Entry] = []
    for fact in facts:
        if fact.layer not in layers or fact.confidence < LEAST_CONFIDENCE:
            continue
        source = fact.source
        new = New(
            layer=fact.layer,
            text=fact.text,
            slot=fact.slot,
            kind=Kind.FACT,
            said_at=source.said_at,
            confidence=fact.confidence,
            model=model,
            sources=[Span(source.conversation_id, source.message_id, fact.start, fact.end, source.text)],
            wait=not _is_quoted(fact) or (fact.layer != Layer.HISTORY and not source.by_person),
            replaces=fact.replaces,
        )
        try:
            entry, is_new = entries.write(owner, new, by=BY)
        except DomainError:  # it was forgotten or paused, or does not fit: there is nobody to tell
            continue
        if is_new:
            stored.append(entry)
    return stored


def _is_quoted(fact: Fact) -> bool:
    """Whether the words that are cited for a fact say any of it."""
    return bool({*terms.stems(fact.text)} & {*terms.stems(fact.source.text[fact.start : fact.end])})


def pending(user: User, workspace_id: UUID) -> int:
    """How many memories wait for a person."""
    rows = Entry.objects.filter(owner__user=user, owner__workspace=workspace_id, status=Status.PENDING)
    return int(rows.count())
