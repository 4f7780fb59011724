"""How memory stands: whether vectors are made, and how many memories wait for one."""

from dataclasses import dataclass

from django.db.models import Q

from memory import embedders
from memory.models import Entry, Status

MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """The embedder by name, whether it is `ready` or `off`, what it says of itself, and how many wait for it."""

    embedder: str
    ready: bool
    off: bool
    state: str
    waiting: int

    @property
    def waiting_text(self) -> str:
        """How many wait, in words."""
        return f"more than {MOST_COUNTED:,}" if self.waiting > MOST_COUNTED else f"{self.waiting:,}"


def now() -> Standing:
    """How it stands in the whole installation; loads no model, and counts no further than MOST_COUNTED."""
    embedder = embedders.current()
    state = embedder.state()
    off = not embedder.dimensions
    return Standing(embedder.name, state == embedders.READY, off, state, 0 if off else waiting())


def waiting(*, most: int | None = MOST_COUNTED) -> int:
    """How many active entries have no vector of the embedder at hand; counted no further than one past `most`."""
    name = embedders.current().name
    rows = Entry.objects.filter(Q(embedder__lt=name) | Q(embedder__gt=name), status=Status.ACTIVE)
    return int(rows.count() if most is None else rows[: most + 1].count())
