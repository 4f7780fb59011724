"""Words as they are compared: stems of what a text says, without the words that every text has. Pure functions.

Where words stand apart, a word is stemmed in its language by Snowball; where they do not (Chinese, Japanese, Thai) and
where there is no stemmer, a text is known by runs of characters, as search engines do it.
"""

import re
import threading
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import Stemmer

from memory.languages import DEFAULT, FUNCTION_WORDS, SCRIPTS, SNOWBALL

MOST_CHARACTERS = 20_000  # of a text; a person says less, and what comes after is found by the rest
MOST_TERMS = 400  # of an entry
MOST_CONCEPTS = 32  # of a question
LONGEST = 40  # characters of a term

# Han, Kana and Hangul, of which two characters are a term; Thai and others without blanks, of which three are; words.
_TWOS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_THREES = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"
_MARKS = "\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0900-\u0dff"  # a vowel sign is part of its word
_LETTER = f"(?:[^\\W_{_TWOS}{_THREES}]|[{_MARKS}])"
_WORD = re.compile(f"[{_TWOS}]+|[{_THREES}]+|{_LETTER}+(?:'{_LETTER}+)*")
_SCRIPT = re.compile(f"(?P<twos>[{_TWOS}])|(?P<threes>[{_THREES}])")
_TRIMMED = re.compile(r"^(?:[cdjlmnst]|qu|dell|all|nell|sull|un)'(?=\w{2})|'s$")  # l'amour, Anna's
_stemmers = threading.local()  # a Snowball stemmer is one thread's


def stems(text: str, language: str = "") -> list[str]:
    """The stems of what a text says, in its order, each as often as it is said; of `language` (`de`) if it is told."""
    spoken = words(text)
    language = _known(language) or detected(spoken)
    return [stem for word in spoken if not _empty(word, language) for stem in _terms(word, language or DEFAULT)]


def concepts(text: str, language: str = "") -> list[frozenset[str]]:
    """What a question asks for: of each word the stems under which an entry may have it.

    A question is short: where it does not tell its language the stems of every language of its script are taken.
    """
    spoken = words(text)
    language = _known(language) or detected(spoken)
    under = (language, DEFAULT) if language else tuple(SNOWBALL)
    found: dict[frozenset[str], None] = {}
    for word in spoken:
        if _empty(word, language):
            continue
        if _SCRIPT.match(word):
            found |= dict.fromkeys(frozenset({run}) for run in _terms(word, DEFAULT))
        else:
            found[frozenset(stem for one in under for stem in _terms(word, one))] = None
    return list(found)[:MOST_CONCEPTS]


def words(text: str) -> list[str]:
    """The words of a text in lower case, possessives cut."""
    plain = unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).lower().replace("’", "'")
    return [_TRIMMED.sub("", word) for word in _WORD.findall(plain)]


def detected(spoken: Iterable[str]) -> str:
    """The language whose function words are the most among these, if that is more than one and no other has as many."""
    counts: dict[str, int] = {}
    for word in spoken:
        for language in FUNCTION_WORDS.get(word, ()):
            counts[language] = counts.get(language, 0) + 1
    first, second = [*sorted(counts.items(), key=lambda one: -one[1]), ("", 0), ("", 0)][:2]
    return first[0] if first[1] > max(1, second[1]) else ""


def of_owner(owner_id: int, found: Iterable[str]) -> list[str]:
    """The terms with the owner's number before each, as the index has them."""
    return [f"o{owner_id}_{term}" for term in found]


def tsvector(found: Iterable[str]) -> str:
    """Terms as PostgreSQL reads a tsvector."""
    return " ".join(_quoted(term) for term in found)


def tsquery(found: Iterable[str]) -> str:
    """A query for any of the terms, as PostgreSQL reads it."""
    return " | ".join(_quoted(term) for term in found)


def _quoted(term: str) -> str:
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"


def _known(language: str) -> str:
    return language.lower().replace("_", "-").partition("-")[0]


def _empty(word: str, language: str) -> bool:
    """Whether a word says nothing of its own in this language, or in any where the language is not known."""
    of = FUNCTION_WORDS.get(word)
    return not word or (of is not None and (language in of or DEFAULT in of))


def _terms(word: str, language: str) -> tuple[str, ...]:
    script = None if word.isascii() else _SCRIPT.match(word)
    return _grams(word, 2 if script["twos"] else 3) if script else _stemmed(word[:LONGEST], language)


@lru_cache(maxsize=16_384)
def _stemmed(word: str, language: str) -> tuple[str, ...]:
    if not word.isascii():
        language = SCRIPTS.get(unicodedata.name(word[0], "").partition(" ")[0], language)
    return (_stemmer(SNOWBALL[language]).stemWord(word),) if language in SNOWBALL else _grams(word, 3)


def _grams(run: str, size: int) -> tuple[str, ...]:
    return tuple(run[at : at + size] for at in range(max(1, len(run) - size + 1)))


def _stemmer(algorithm: str) -> Stemmer.Stemmer:
    found: Stemmer.Stemmer | None = getattr(_stemmers, algorithm, None)
    if found is None:
        found = Stemmer.Stemmer(algorithm)
        setattr(_stemmers, algorithm, found)
    return found
