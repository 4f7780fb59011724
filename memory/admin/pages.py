"""What the pages of the memory browser show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count
from django.urls import reverse

from companions.models import Layer
from memory.models import Entry, Kind, Owner, Source, Status
from memory.recall import Recalled
from memory.services import searching

PAGE = 50
MOST_HITS = 25
MOST_QUERY = 250  # characters
MOST_VERSIONS = 50
STATUSES = {**{value.value: value.label for value in Status}, "all": "All"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What of an owner's memories is to be shown; what does not fit is left out."""

    layer: str = ""
    status: str = Status.ACTIVE.value
    query: str = ""
    before: UUID | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Asked":
        """What the address says."""
        layer, status = query.get("layer", ""), query.get("status", "")
        return cls(
            layer=layer if layer in Layer.values else "",
            status=status if status in STATUSES else Status.ACTIVE.value,
            query=query.get("q", "").replace("\x00", "").strip()[:MOST_QUERY],
            before=_uuid(query.get("before", "")),
        )

    def address(self, **other: str) -> str:
        """The query of the page that shows something else too."""
        said = {"layer": self.layer, "status": self.status, "q": self.query, **other}
        return f"?{urlencode({name: value for name, value in said.items() if value})}"


def companion_name(owner: Owner) -> str:
    """With whom it is kept."""
    return owner.companion.name if owner.companion else "all companions"


def listed(owner: Owner, asked: Asked) -> dict[str, Any]:
    """A page of the owner's memories, the newest first, or what answers the search, the best first."""
    paused = owner.paused
    hits = searching.of([owner], asked.query, layer=asked.layer, most=MOST_HITS) if asked.query else []
    owner.paused = paused
    rows = owner.entries.defer("terms", "embedding")
    if asked.layer:
        rows = rows.filter(layer=asked.layer)
    if asked.status != "all":
        rows = rows.filter(status=asked.status)
    if asked.before:
        rows = rows.filter(pk__lt=asked.before)
    page = [] if asked.query else list(rows.order_by("-pk")[: PAGE + 1])
    return {
        "asked": asked,
        "hits": [_hit(one, _widest(hits)) for one in hits],
        "rows": page[:PAGE],
        "older": asked.address(before=str(page[PAGE - 1].pk)) if len(page) > PAGE else "",
        "layers": _layers(owner, asked),
        "statuses": [(name, label, name == asked.status) for name, label in STATUSES.items()],
    }


def _layers(owner: Owner, asked: Asked) -> list[dict[str, Any]]:
    """The layers, with how many active memories each has."""
    rows = owner.entries.filter(status=Status.ACTIVE).order_by().values("layer").annotate(count=Count("pk"))
    counts = {row["layer"]: row["count"] for row in rows}
    tabs = [("", "All", sum(counts.values())), *((one.value, one.label, counts.get(one.value, 0)) for one in Layer)]
    return [
        {"label": label, "count": count, "address": asked.address(layer=name), "chosen": name == asked.layer}
        for name, label, count in tabs
    ]


def _widest(hits: Sequence[Recalled]) -> float:
    return max((abs(value) for one in hits for value in one.parts.values()), default=0.0) or 1.0


def _hit(one: Recalled, widest: float) -> dict[str, Any]:
    """What a search found, with the parts of its score as bars on one scale for all."""
    parts = [
        {"name": name, "value": f"{value:+.2f}", "width": round(100 * abs(value) / widest), "less": value < 0}
        for name, value in sorted(one.parts.items(), key=lambda part: -abs(part[1]))
        if abs(value) >= 0.005
    ]
    return {"entry": one.entry, "score": f"{one.score:.2f}", "parts": parts}


def entry(owner: Owner, entry_id: UUID) -> Entry | None:
    """The owner's memory."""
    found: Entry | None = owner.entries.defer("terms").filter(pk=entry_id).first()
    return found


def chosen(owner: Owner, names: Sequence[str]) -> list[Entry]:
    """The owner's memories of these ids."""
    rows = owner.entries.filter(pk__in=[one for name in names if (one := _uuid(name))])
    return list(rows.select_related("owner").defer("terms", "embedding").order_by("-pk"))


def one(entry: Entry) -> dict[str, Any]:
    """A memory with where it comes from and what it was."""
    older = entry.supersedes.defer("terms", "embedding").order_by("-valid_to", "-pk")[:MOST_VERSIONS]
    revisions = entry.revisions.select_related("changed_by").order_by("-number")[:MOST_VERSIONS]
    return {
        "entry": entry,
        "type": entry.slot or entry.kind,
        "sources": _sources(entry),
        "revisions": [
            {
                "number": row.number,
                "text": str(row.before.get("text", "")),
                "type": row.before.get("slot", ""),
                "author": row.before.get("author", ""),
                "by": row.changed_by.email if row.changed_by else row.author,
                "at": row.created_at,
            }
            for row in revisions
        ],
        "superseded": list(older),
    }


def _sources(entry: Entry) -> list[dict[str, Any]]:
    """The messages that it comes from, each with the words and the way to its conversation."""
    found: list[Source] = list(entry.sources.order_by("pk")[:MOST_VERSIONS])
    if entry.kind == Kind.MESSAGE and entry.message_id:
        whole = Source(conversation_id=entry.conversation_id, message_id=entry.message_id, start=0, end=len(entry.text))
        found.insert(0, whole)
    rows = Entry.objects.filter(owner=entry.owner_id, message_id__in=[one.message_id for one in found])
    said = dict(rows.values_list("message_id", "text"))
    return [
        {
            "source": one,
            "words": said.get(one.message_id, "")[one.start : one.end],
            "address": reverse("admin:chat_conversation_change", args=[one.conversation_id])
            if one.conversation_id
            else "",
        }
        for one in found
    ]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
