"""Drawing facts from what was said: what a model is asked (`asking`), and rules where there is no model (`rules`).

Pure functions of messages; `memory.services.learning` stores what they find.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message as extraction reads it; `seq` is its place in the conversation."""

    message_id: UUID
    conversation_id: UUID | None
    by_person: bool
    text: str
    said_at: datetime
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that messages tell of the person: in `text`, found from `start` to `end` of the message `source`.

    `replaces` is the memory that it puts right, where the extractor says that it does.
    """

    layer: str
    text: str
    source: Said
    start: int
    end: int
    slot: str = ""
    confidence: float = 0.8
    replaces: UUID | None = None
