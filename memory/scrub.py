"""Taking what is forgotten out of texts, a sentence at a time. Pure functions.

A line goes that names the memory. A sentence goes where it is the place that a memory comes from, or says all of what
the memory says, by stems. Near the memory, in what was said where it was told or recalled, a sentence goes that shares
a word with it: an answer says "Zanzibar it is", and not again that somebody lives there.

Which words tell of it: not those that stand in sentences about anything (EVERYDAY), unless it says nothing else. Of a
verb that says how a person stands to something (VERBS) it depends on who speaks. The person's own "I live by the sea"
is another thing than "I live in Zanzibar", whose own place is known; an answer may put the one for the other, so there
such a verb tells of it, but where the sentence says all of another memory that stays.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from memory import terms

FORGOTTEN = "(forgotten)"
Fact = frozenset[frozenset[str]]
"""What a text says: of each word the stems under which another may say it, as its language is not always known."""

_EVERYDAY = (
    "like likes liked liking prefer prefers preferred love loves loved loving enjoy enjoys enjoyed want wants wanted "
    "need needs needed know knows knew think thinks thought say says said tell tells told ask asks asked mean means "
    "person persons user users people thing things something anything really also often usually always never "
    "sometimes please thank thanks yes okay well good nice great much lot lots today now still even maybe perhaps"
)
EVERYDAY = frozenset(_EVERYDAY.split())
_VERBS = (
    "live lives lived living work works worked working call calls called name names named use uses used using go goes "
    "went going gone come comes came coming get gets got make makes made making take takes took taken have has had "
    "play plays played playing speak speaks spoke speaking move moves moved moving keep keeps kept give gives gave "
    "see sees saw seen feel feels felt look looks looked favourite favorite"
)
VERBS = frozenset(_VERBS.split())
_BREAK = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WORDS = 24  # of a text that are looked at together, fewer than a question may ask for


@dataclass(frozen=True, kw_only=True)
class Scrub:
    """What is forgotten: `facts`, places in messages, `whole` messages, and the memories by their ids.

    `said` is what whole messages say: other messages may say the same, so it is looked for in what was told of them
    and in nothing that the person said. `messages` say all of a fact somewhere. `everyday` and `verbs` are the stems
    of such words as stand in it; `others` is what memories say that stay; `theirs`: the person's own words are read.
    """

    entries: frozenset[UUID]
    facts: Sequence[Fact] = ()
    said: Sequence[Fact] = ()
    spans: Mapping[UUID, Sequence[tuple[int, int]]] = field(default_factory=dict)
    whole: frozenset[UUID] = frozenset()
    messages: frozenset[UUID] = frozenset()
    everyday: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    others: Sequence[Fact] = ()
    theirs: bool = False

    @property
    def touched(self) -> frozenset[UUID]:
        """The messages that are known to tell of it."""
        return self.messages | self.whole | frozenset(self.spans)

    @property
    def own(self) -> "Scrub":
        """What of it is taken out of what the person said: not each word of a message that is forgotten."""
        return replace(self, said=(), theirs=True)

    @property
    def quoted(self) -> "Scrub":
        """What of it is taken out of answers that are given again: also what says all of such a message."""
        return replace(self, facts=(*self.facts, *self.said))

    def text(self, said: str, *, near: bool, spans: Sequence[tuple[int, int]] = ()) -> str:
        """What is left of a text; FORGOTTEN where nothing is."""
        return self.parted(said, near=near, spans=spans)[0]

    def parted(self, said: str, *, near: bool, spans: Sequence[tuple[int, int]] = ()) -> tuple[str, list[str]]:
        """What is left of a text, FORGOTTEN where nothing is, and the lines and sentences that go, as they stand."""
        if not said:
            return said, []
        if not spans and self.names(said):
            lines = said.split("\n")
            left, gone = self.parted("\n".join(line for line in lines if not self.names(line)), near=near)
            return left or FORGOTTEN, [*filter(self.names, lines), *gone]
        kept, start, dropped = [], 0, list[str]()
        for end, following in [*(match.span() for match in _BREAK.finditer(said)), (len(said), len(said))]:
            sentence = said[start:following]
            if any(at < end and start < to for at, to in spans) or self.tells(sentence, near=near):
                dropped.append(sentence.strip())
            else:
                kept.append(sentence)
            start = following
        if not dropped:
            return said, []
        return "".join(kept).strip() or FORGOTTEN, [one for one in dropped if one]

    def json(self, value: Any, *, near: bool) -> Any:
        """The value with each text in it scrubbed; keys stay."""
        if isinstance(value, str):
            return self.text(value, near=near)
        if isinstance(value, list):
            return [self.json(one, near=near) for one in value]
        if isinstance(value, dict):
            return {name: self.json(one, near=near) for name, one in value.items()}
        return value

    def names(self, text: str) -> bool:
        """Whether a text names one of the memories by its id, as a line does that a companion looked up."""
        return not self._ids.isdisjoint(_ID.findall(text))

    def tells(self, text: str, *, near: bool) -> bool:
        """Whether a text says all of a fact, or near the memory some of it."""
        if not (self.facts or self.said):
            return False
        if not near:
            return says(self.facts, text)
        stems = _stems(text)
        if not self._telling.isdisjoint(stems):
            return True
        return not self.theirs and not self.verbs.isdisjoint(stems) and not says(self.others, text)

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(str(one) for one in self.entries)

    @cached_property
    def _telling(self) -> frozenset[str]:
        """The stems that tell of it by themselves: of a fact that has no others, all."""
        found: set[str] = set()
        for one in (*self.facts, *self.said):
            stems = {stem for concept in one for stem in concept}
            found |= stems - self.everyday - self.verbs or stems
        return frozenset(found)


def fact(text: str) -> Fact:
    """The words by which a text is known again; empty where it has none of its own."""
    words = text.split()
    pieces = (" ".join(words[at : at + _WORDS]) for at in range(0, len(words), _WORDS))
    return frozenset(concept for piece in pieces for concept in terms.concepts(piece))


def common(texts: Iterable[str], words: Collection[str]) -> frozenset[str]:
    """The stems of those of these words that stand in the texts, but of none that is a name there (Courtney Love)."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for text in texts:
        for place, spoken in enumerate(text.split()):
            word = spoken.strip("\"'“”‘’«»()[]{}.,;:!?…")
            if word.lower() in words:
                found[place > 0 and not word.islower()] |= {stem for one in terms.concepts(word) for stem in one}
    return frozenset(found[False] - found[True])


def says(facts: Iterable[Fact], text: str) -> bool:
    """Whether a text says all of one of the facts."""
    stems = _stems(text)
    return any(all(not concept.isdisjoint(stems) for concept in fact) for fact in facts)


def blanked(value: Any) -> Any:
    """The value with nothing left of its texts; keys stay."""
    if isinstance(value, str):
        return FORGOTTEN if value else value
    if isinstance(value, list):
        return [blanked(one) for one in value]
    if isinstance(value, dict):
        return {name: blanked(one) for name, one in value.items()}
    return value


def _stems(text: str) -> set[str]:
    """The stems of all of a text, however long it is."""
    parts = (text[at : at + terms.MOST_CHARACTERS] for at in range(0, len(text), terms.MOST_CHARACTERS))
    return {stem for part in parts for stem in terms.stems(part)}
