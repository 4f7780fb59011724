"""Evidence: whether a person said something themselves, so that it may be kept of them unasked. Pure functions."""

import re
import unicodedata
from collections.abc import Iterable

from memory import terms

PHRASING = frozenset(
    terms.stems("lives living called named name works working likes liking prefers preferring loves person user their")
)
"""Words by which a fact is put in the third person."""

_NEGATING = (
    "no not never none nobody nothing neither nor without hardly cannot cant dont doesnt isnt wasnt arent wont "
    "nicht kein keine keinen keinem keiner nie niemals ohne ne pas jamais sans aucun aucune nunca jamás sin ningún "
    "ninguna non mai senza nessun nessuna niet geen nooit zonder não nem sem nenhum nenhuma inte ingen aldrig ikke ei "
    "не нет ни nigdy bez není değil yok"
)
NEGATIONS = frozenset(_NEGATING.split())
_GLUED = re.compile("[不没沒无無未别別]|ない|ません|않|안 |못|ไม่")  # where words do not stand apart
_PLAIN = frozenset(" \n\t.,;:!?'\"()-–—/&+%@#’‘“”…·、。，！？«»¿¡_°€$£")
_SENTENCE = re.compile(r"[^.!?。！？\n]+")


def said(fact: str, heard: Iterable[str]) -> bool:
    """Whether the words of a fact were said by a person in one of the texts, and denied there as little as here.

    False for what has no words of its own, or signs that are no writing: nobody can be held to have said that.
    """
    wanted = frozenset(terms.stems(fact)) - PHRASING
    if not wanted or not all(map(_is_plain, fact)):
        return False
    return any(_says(text, wanted, denied=denies(fact)) for text in heard)


def denies(text: str) -> bool:
    """Whether a sentence denies something, as far as its words tell."""
    spoken = terms.words(text)
    return any(word in NEGATIONS or word.endswith("n't") for word in spoken) or bool(_GLUED.search(text))


def _says(text: str, wanted: frozenset[str], *, denied: bool) -> bool:
    if not wanted <= frozenset(terms.stems(text)):
        return False
    about = [one for one in _SENTENCE.findall(text) if wanted & frozenset(terms.stems(one))]
    return all(denies(one) == denied for one in about)


def _is_plain(one: str) -> bool:
    """A letter with its marks, a digit, a blank or a common sign; none that is drawn to look like another."""
    return one in _PLAIN or (unicodedata.category(one)[0] in "LMN" and not _is_selector(one))


def _is_selector(one: str) -> bool:
    return "\ufe00" <= one <= "\ufe0f" or "\U000e0100" <= one <= "\U000e01ef"
