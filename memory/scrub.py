"""Taking what is forgotten out of texts, a sentence at a time. Pure functions.

A sentence goes where it is the place that a memory comes from, or says all of what the memory says, by stems. Near the
memory, in what was said where it was told or recalled, a sentence goes that shares any of its words: an answer says
"Zanzibar it is", and not again that somebody lives there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from memory import terms

FORGOTTEN = "(forgotten)"
_BREAK = re.compile(r"(?<=[.!?…。！？])\s+|\n+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """What is forgotten: `facts` by their stems, places in messages, `whole` messages, and the memories by their ids.

    `messages` say all of a fact somewhere.
    """

    entries: frozenset[UUID]
    facts: Sequence[frozenset[str]] = ()
    spans: Mapping[UUID, Sequence[tuple[int, int]]] = field(default_factory=dict)
    whole: frozenset[UUID] = frozenset()
    messages: frozenset[UUID] = frozenset()

    @property
    def touched(self) -> frozenset[UUID]:
        """The messages that are known to tell of it."""
        return self.messages | self.whole | frozenset(self.spans)

    def text(self, said: str, *, near: bool, spans: Sequence[tuple[int, int]] = ()) -> str:
        """What is left of a text; FORGOTTEN where nothing is."""
        if not said:
            return said
        kept, start, dropped = [], 0, False
        for end, following in [*(match.span() for match in _BREAK.finditer(said)), (len(said), len(said))]:
            sentence = said[start:following]
            if any(at < end and start < to for at, to in spans) or self.tells(sentence, near=near):
                dropped = True
            else:
                kept.append(sentence)
            start = following
        if not dropped:
            return said
        return "".join(kept).strip() or FORGOTTEN

    def json(self, value: Any, *, near: bool) -> Any:
        """The value with each text in it scrubbed; keys stay."""
        if isinstance(value, str):
            return self.text(value, near=near)
        if isinstance(value, list):
            return [self.json(one, near=near) for one in value]
        if isinstance(value, dict):
            return {name: self.json(one, near=near) for name, one in value.items()}
        return value

    def tells(self, text: str, *, near: bool) -> bool:
        """Whether a text says all of a fact, or near the memory some of it."""
        if not self.facts:
            return False
        stems = set(terms.stems(text))
        return any(fact & stems if near else fact <= stems for fact in self.facts)


def fact(text: str) -> frozenset[str]:
    """The stems by which a text is known again."""
    return frozenset(terms.stems(text))
