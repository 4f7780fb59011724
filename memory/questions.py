"""What a question asks for: words, days, whom, and what is left to be embedded. Pure functions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from memory import dates, signs, terms
from memory.dates import Days

MOST = 2_000  # characters of a question that count
PERSON, COMPANION = "person", "companion"

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_ME = re.compile(
    r"\b(?:i|i'm|i've|my|me|mine|we|our|ich|mein\w*|mich|mir|wir|je|j'ai|mon|ma|mes|moi|yo|mi|mis|io|mio|mia|eu|meu"
    r"|minha|ik|mijn|я|мне|мой|моя)\b|[私我僕俺]",
    re.IGNORECASE,
)
_YOU = re.compile(
    r"\b(?:you|your|yours|du|dein\w*|dir|dich|tu|ton|ta|tes|toi|vous|votre|tú|tuyo|usted|tuo|tua|você|jij|jouw|je|ты"
    r"|тебе|твой|твоя)\b|[你您]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question as recall reads it; `plain` is it without the people's names, `asked` are the speakers it is about."""

    plain: str
    concepts: tuple[frozenset[str], ...]
    days: tuple[Days, ...]
    asked: frozenset[str]
    when: bool
    where: bool

    @property
    def empty(self) -> bool:
        """Whether it names nothing that could be looked for."""
        return not self.concepts and not self.days


def read(text: str, *, now: datetime, names: Mapping[str, str], language: str = "") -> Question:
    """What a text asks for; `names` are those of the speakers (`person`, `companion`)."""
    said = " ".join(_CONTROLS.sub(" ", text[:MOST]).split())
    plain, named = said, set()
    for speaker, name in names.items():
        for one in _called(name):
            pattern = re.compile(rf"\b{re.escape(one)}(?:['’]s)?(?!\w)", re.IGNORECASE)
            if pattern.search(plain):
                named.add(speaker)
                plain = pattern.sub("", plain)
    plain = " ".join(plain.split())
    spoken = {speaker for speaker, pattern in ((PERSON, _ME), (COMPANION, _YOU)) if pattern.search(said)}
    asked = spoken if len(spoken) == 1 else named  # "Anna, where do I live?" is about who asks, not about Anna
    return Question(
        plain=plain,
        concepts=tuple(terms.concepts(plain, language)),
        days=tuple(dates.asked(said, now)),
        asked=frozenset(asked),
        when=signs.asks_when(said),
        where=signs.asks_where(said),
    )


def _called(name: str) -> list[str]:
    """What somebody is called: the whole name and, for a person of several, the first."""
    whole = " ".join(name.split())
    first = whole.partition(" ")[0]
    return [one for one in dict.fromkeys((whole, first)) if len(one) > 1]
