"""The tools by which a companion remembers, looks up and forgets by itself."""

import re
from typing import Annotated, Literal
from uuid import UUID

from django.db import transaction
from msgspec import Meta

from agents.models import Agent
from agents.tools.registry import Change, Context, Preview, Retry, Risk, ToolResult, tool
from approvals.services import audit
from companions.models import Layer
from core.errors import Invalid
from memory import evidence, slots, terms
from memory import recall as recalling
from memory.models import Author, Entry, Kind, Owner
from memory.services import entries, forgetting, owners
from memory.services.entries import By, New, Span
from memory.services.machines import Paused

MOST_FOUND = 20
NAMES = ("remember", "recall", "forget")
TELLING = frozenset({"recall"})
"""The tools whose results tell what is remembered: not for providers that are not to know."""
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")

Text = Annotated[
    str, Meta(description="One sentence that can be understood by itself.", min_length=2, max_length=1_000)
]
About = Annotated[
    str,
    Meta(
        description="What an identity tells, such as home, name or job; of a preference a word or two for what is "
        "liked. Left out: nothing in particular.",
        max_length=60,
    ),
]
Query = Annotated[str, Meta(description="What to look for.", min_length=1, max_length=1_000)]
Id = Annotated[str, Meta(description="The id of the memory, as recall gives it.", pattern=r"^[0-9a-fA-F-]{36}$")]


def _owner(context: Context) -> Owner:
    """The memory of the person with this companion; raises Invalid where there is no person or no companion."""
    if context.person_id is None or context.companion_id is None:
        raise Invalid("There is nobody here to remember anything of: only a companion that speaks with a person can.")
    return owners.made(context.workspace_id, context.person_id, context.companion_id)


def _with_somebody(context: Context, query: str) -> None:
    _owner(context)


def _by(context: Context) -> By:
    slug = Agent.objects.filter(pk=context.agent_id).values_list("slug", flat=True).first() if context.agent_id else ""
    assert context.agent_id is not None
    return By(Author.COMPANION, audit.agent(context.agent_id, context.person_id, slug or ""))


def _fits(context: Context, content: str, layer: str, about: str) -> None:
    owner = _owner(context)
    slots.check(layer, about)
    companion = owner.companion
    if companion is None or layer not in companion.memory_layers:
        raise Invalid.field("layer", f"this companion does not keep {layer}", "layer_not_kept")
    if owners.is_paused(owner):
        raise Invalid("The person paused this memory: nothing is kept now.")


def _trust(context: Context, content: str, layer: str, about: str) -> Risk:
    """Read, which runs unasked, unless it says who the person is in words that the person has not said themselves."""
    if layer != Layer.IDENTITY:
        return Risk.READ
    heard = [text for text in context.heard() if not text.startswith(("http://", "https://"))]
    return Risk.READ if evidence.said(content, heard) else Risk.WRITE


def _change(context: Context, content: str, layer: str, about: str) -> Preview:
    before = ""
    if about and slots.check(layer, about):
        rows = _owner(context).entries.live().filter(layer=layer, slot=about, single=True)
        before = rows.values_list("text", flat=True).first() or ""
    what = f"{layer}, {about}" if about else layer
    return Preview(f"Remember of the person: {content}", diff=[Change(what, before or "nothing", content)])


def _source(context: Context, owner: Owner, content: str) -> list[Span]:
    """The message in answer to which it is remembered: the sentence that says most of it, or all of it where none does.

    Of a message that is not kept no more than its id is known, by which forgetting finds what was said there.
    """
    if context.message_id is None:
        return []
    said = Entry.objects.filter(owner=owner, kind=Kind.MESSAGE, message_id=context.message_id)
    text = said.values_list("text", flat=True).first() or ""
    wanted = frozenset(terms.stems(content))
    shares = {
        (one.start(), one.end()): len(wanted & frozenset(terms.stems(one.group()))) for one in _SENTENCE.finditer(text)
    }
    start, end = max(shares, key=lambda place: shares[place]) if any(shares.values()) else (0, len(text))
    return [Span(context.conversation_id, context.message_id, start, end, text)]


@tool(risk=Risk.WRITE, retry=Retry.IDEMPOTENT, validate=_fits, preview=_change, risk_of=_trust)
def remember(
    context: Context, content: Text, layer: Literal["identity", "preferences", "history"], about: About = ""
) -> ToolResult:
    """Remember something of the person in all later conversations: who they are, what they like, or what happened."""
    owner = _owner(context)
    new = New(layer=layer, text=content, slot=about, sources=_source(context, owner, content))
    try:
        entry, is_new = entries.write(owner, new, by=_by(context))
    except Paused:
        return ToolResult("The person paused this memory meanwhile: nothing is kept now.", "paused")
    if not is_new:
        return ToolResult("You remembered that already.", "known already")
    waits = entry.status == "pending"
    return ToolResult(
        "The person wrote something else there: they are asked which holds." if waits else "You remember it.",
        "waits for the person" if waits else f"remembered ({layer})",
    )


@tool(risk=Risk.READ, retry=Retry.IDEMPOTENT, validate=_with_somebody)
def recall(context: Context, query: Query) -> ToolResult:
    """Look up what is remembered of the person: what they said, what happened, who they are, what they like."""
    whose = context.workspace_id, context.person_id, context.companion_id
    best = [one.entry.pk for one in recalling.recall(list(owners.of_person(*whose)), query, limit=MOST_FOUND)]
    with transaction.atomic():  # what is told is noted with the run, or forgotten before it can be
        owners.hold(*whose)
        if owners.of_person(*whose).filter(paused=True).exists():
            return ToolResult("The person paused this memory: nothing is recalled now.", "paused")
        there = Entry.objects.live().defer("terms", "embedding", "context").in_bulk(best)
        context.recalled(list(there))
    found = [there[one] for one in best if one in there]
    lines = [
        f"{one.pk} [{one.said_at:%Y-%m-%d}, {one.layer}, {one.speaker}] {' '.join(one.text.split())[:500]}"
        for one in found
    ]
    return ToolResult("\n".join(lines) or "Nothing that fits is remembered.", f"{len(found)} found")


def _mine(context: Context, memory_id: str) -> Entry:
    """The memory; raises Invalid where the person has none of this id with this companion."""
    rows = Entry.objects.filter(owner__workspace=context.workspace_id, owner__user=context.person_id)
    try:
        found: Entry | None = rows.select_related("owner").filter(pk=UUID(memory_id)).first()
    except ValueError:
        found = None
    if found is None or found.owner.companion_id not in (None, context.companion_id):
        raise Invalid.field("memory_id", "there is no such memory; recall gives the ids", "unknown_memory")
    return found


def _exists(context: Context, memory_id: str) -> None:
    _owner(context)
    _mine(context, memory_id)


def _loss(context: Context, memory_id: str) -> Preview:
    """Says which memory goes without its text, which a request would keep when it is gone."""
    entry = _mine(context, memory_id)
    what = f"{entry.layer}, {entry.slot}" if entry.slot else entry.layer
    return Preview(f"Forget a memory of the person for good ({what}), kept since {entry.created_at:%Y-%m-%d}.")


@tool(risk=Risk.DESTRUCTIVE, retry=Retry.IDEMPOTENT, validate=_exists, preview=_loss)
def forget(context: Context, memory_id: Id) -> ToolResult:
    """Forget a memory for good, at the person's wish. What was said stays readable where it was said."""
    try:
        entry = _mine(context, memory_id)
    except Invalid:
        return ToolResult("It is forgotten already.", "gone already")
    try:
        forgetting.forget(entry, by=_by(context), transcripts=False)
    except entries.UnknownMemory:
        return ToolResult("It is forgotten already.", "gone already")
    return ToolResult("It is forgotten.", "forgotten")
