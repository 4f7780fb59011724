"""An extractor that asks no model: a handful of English sentences by which people say who they are.

It stands in where the provider is the offline one. It knows few sentences and misunderstands none of them: questions,
conditions, quotations and what others said are left alone. What it finds says `rules` where a model would be named.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from companions.models import Layer
from memory.extraction import Fact, Said

MODEL = "rules"
LONGEST = 80  # characters of what a sentence names
LONGEST_MESSAGE = 20_000  # characters that are read of one
LONGEST_SENTENCE = 600  # nobody says who they are in a longer one
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_UNSURE = re.compile(
    r"\?|[\"“”„«»]|\b(?:if|unless|wish|imagine|suppose|pretend|would|might|maybe|perhaps|used to)\b", re.I
)
_TYPED = str.maketrans("’‘", "''")  # as long as before, so that places hold
_ENDS = "and|but|so|because|since|now|today|these days|at the moment|with|while|where|who"
_END = rf"(?=\s*(?:[.,;:!]|$|\s(?:{_ENDS})\b))"
_NAME = r"(?P<what>[A-ZÀ-Þ][\w'.-]*(?: [A-ZÀ-Þ][\w'.-]*){0,3})"
_THING = rf"(?P<what>[^.,;:!?\n]{{2,{LONGEST}}}?)"
_I = r"\b[Ii]"
_AM = rf"{_I}(?:'m| am)"
_CALLED = r"(?:'s name is| is called| is named)"
_KIN = (
    "mother|father|mum|mom|dad|sister|brother|son|daughter|wife|husband|partner|girlfriend|boyfriend|"
    "grandmother|grandfather|aunt|uncle|cousin"
)
_PETS = "dog|cat|rabbit|horse|parrot|hamster|guinea pig|fish|tortoise|bird"
_LOATHE = "hate|dislike|do not like|don't like|can't stand"


@dataclass(frozen=True, slots=True)
class Rule:
    """A sentence, and what it tells; `{what}` and `{who}` are its groups of these names."""

    pattern: re.Pattern[str]
    layer: str
    slot: str
    told: str


def _rule(pattern: str, slot: str, told: str, layer: str = Layer.IDENTITY) -> Rule:
    return Rule(re.compile(pattern), layer, slot, told)


_LIKES = Layer.PREFERENCES
RULES = (
    _rule(rf"\b(?:[Mm]y name is|{_AM} called|[Cc]all me) {_NAME}", "name", "Is called {what}."),
    _rule(rf"{_I}(?:'ve| have)? (?:just |recently )?(?:live|moved) (?:in|to) {_NAME}", "home", "Lives in {what}."),
    _rule(rf"{_AM} (?:living|based) in {_NAME}", "home", "Lives in {what}."),
    _rule(rf"{_I} work as {_THING}{_END}", "job", "Works as {what}."),
    _rule(rf"\b[Mm]y job is {_THING}{_END}", "job", "Works as {what}."),
    _rule(rf"{_I} work (?:at|for) {_NAME}", "employer", "Works for {what}."),
    _rule(rf"\b[Mm]y birthday is (?:on )?{_THING}{_END}", "birthday", "Has their birthday on {what}."),
    _rule(r"\b[Mm]y pronouns are (?P<what>\w+(?:/\w+){1,2})", "pronouns", "Uses the pronouns {what}."),
    _rule(rf"{_AM} allergic to {_THING}{_END}", "allergies", "Is allergic to {what}."),
    _rule(rf"{_AM} (?:an? )?(?P<what>vegetarian|vegan|pescatarian|coeliac|celiac)\b", "diet", "Is {what}."),
    _rule(rf"\b[Mm]y (?P<who>{_KIN}){_CALLED} {_NAME}", "family", "Their {who} is called {what}."),
    _rule(rf"\b[Mm]y (?P<who>{_PETS}){_CALLED} {_NAME}", "pets", "Their {who} is called {what}."),
    _rule(rf"{_I} have an? (?P<who>{_PETS}) (?:called|named) {_NAME}", "pets", "Their {who} is called {what}."),
    _rule(
        rf"\b[Mm]y favou?rite (?P<who>[a-z ]{{1,40}}?) is {_THING}{_END}",
        "",
        "Their favourite {who} is {what}.",
        _LIKES,
    ),
    _rule(rf"{_I}(?: really| also)? (?:prefer|love|like|enjoy) {_THING}{_END}", "", "Likes {what}.", _LIKES),
    _rule(rf"{_I}(?: really)? (?:{_LOATHE}) {_THING}{_END}", "", "Does not like {what}.", _LIKES),
)


def find(messages: Iterable[Said]) -> list[Fact]:
    """What the person's own messages say of them, each thing once, the newest of a slot last."""
    found: dict[tuple[str, str], Fact] = {}
    for message in messages:
        for fact in _of(message) if message.by_person else ():
            found.pop((fact.layer, fact.text), None)
            found[fact.layer, fact.text] = fact
    return list(found.values())


def _of(message: Said) -> Iterator[Fact]:
    for sentence in _SENTENCE.finditer(message.text[:LONGEST_MESSAGE].translate(_TYPED)):
        if len(sentence.group()) > LONGEST_SENTENCE or _UNSURE.search(sentence.group()):
            continue
        for rule in RULES:
            if match := rule.pattern.search(sentence.group()):
                told = {name: " ".join(text.split()) for name, text in match.groupdict().items() if text}
                start = sentence.start() + match.start()
                yield Fact(
                    layer=rule.layer,
                    slot=rule.slot,
                    text=rule.told.format(**{name: text.rstrip(" .") for name, text in told.items()}),
                    source=message,
                    start=start,
                    end=sentence.start() + match.end(),
                )
