"""How what a model wrote is shown to who decides: every character visible, nothing of it able to style or mislead.

A character that has no look of its own (controls, direction marks, joiners, blanks other than the space) is shown by
its number, and so is a combining mark that stands upon two others. Each text is isolated, so that letters written from
right to left reorder nothing around it.
"""

import datetime
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from core import digest
from core.errors import Invalid

UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
# Letters and marks by category, but drawn as nothing or as a blank.
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
MARKS = frozenset({"Mn", "Me"})
MOST_MARKS = 2  # combining marks in a row, more than any script needs
LONG = 100  # characters from which on a text's length is told
INDENT = "  "
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_STRANGE = re.compile(r"[^\x20-\x7e]+")
_TO_QUOTE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]+")  # the quote and the backslash too


@dataclass(frozen=True, slots=True)
class LongText:
    """A text within arguments that is easier read by itself, and where it stands."""

    path: str
    text: str


def visible(text: object) -> SafeString:
    """A text of several lines as HTML; line breaks and tabs stay what they are."""
    return _isolated(_marked(str(text), keep="\n\t"))


def visible_line(text: object) -> SafeString:
    """A text as one line of HTML; a line break within it is shown by its number."""
    return _isolated(_marked(str(text), keep=""))


def plain_line(text: object, most: int) -> str:
    """A text as one line for what shows it as it is, of so many characters; what was cut says so."""
    whole = str(text)
    cut = whole if len(whole) <= most else f"{whole[: most - 1]}…"
    return _with(cut, _STRANGE, str, lambda character, name: f"\u27e8{number(character)}\u27e9" if name else character)


def json_html(value: Any) -> SafeString:
    """A JSON value as HTML: its canonical form (RFC 8785), indented, with the length of each long text beside it."""
    return mark_safe("".join(_html_of(value, "\n")))


def pretty(value: Any) -> str:
    """The same as text to be edited: what cannot be seen is written as an escape of JSON."""
    return "".join(_text_of(value, "\n"))


def unseen(value: Any) -> int:
    """How many characters of a JSON value are shown by their numbers; line breaks and tabs are none of them."""
    if isinstance(value, str):
        found = (run for match in _STRANGE.finditer(value) for run in _named(match[0]))
        return sum(name is not None and character not in "\n\r\t" for character, name in found)
    if isinstance(value, dict):
        return sum(unseen(key) + unseen(inner) for key, inner in value.items())
    return sum(unseen(inner) for inner in value) if isinstance(value, list) else 0


def long_texts(value: Any, path: str = "") -> Iterator[LongText]:
    """The texts of a JSON value that have several lines or are long, with their paths."""
    if isinstance(value, str):
        if "\n" in value or len(value) > LONG:
            yield LongText(path, value)
    elif isinstance(value, dict):
        for key in _in_order(value):
            yield from long_texts(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from long_texts(inner, f"{path}.{place}")


def span(length: datetime.timedelta | None) -> str:
    """A length of time by its two largest units, as a person would say it."""
    if length is None:
        return "-"
    left = max(0, int(length.total_seconds()))
    parts = []
    for size, unit in UNITS:
        many, left = divmod(left, size)
        if many:
            parts.append(f"{many} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def _isolated(html: str) -> SafeString:
    return mark_safe(f"<bdi>{html}</bdi>")


def _marked(text: str, *, keep: str) -> str:
    """Escaped text, what cannot be seen by its number, save the characters to keep."""

    def seen(character: str, name: str | None) -> str:
        if name is None or character in keep:
            return escape(character)
        return _mark(f"\u27e8{number(character)}\u27e9", name)

    return _with(text, _STRANGE, escape, seen)


def _quoted(text: str) -> str:
    """The inside of a JSON string in HTML: escapes of JSON where it has them, numbers for the rest of the unseen."""

    def seen(character: str, name: str | None) -> str:
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        if name is None:
            return escape(plain)
        return _mark(plain if plain != character else f"\u27e8{number(character)}\u27e9", name)

    return _with(text, _TO_QUOTE, escape, seen)


def _escaped(text: str) -> str:
    """A JSON string in which everything can be seen."""
    inside = _with(text, _TO_QUOTE, str, lambda character, name: json.dumps(character, ensure_ascii=bool(name))[1:-1])
    return f'"{inside}"'


def _with(text: str, strange: re.Pattern[str], usual: Callable[[str], str], seen: Callable[..., str]) -> str:
    """The text, with the runs of strange characters rendered one by one and the rest as usual."""
    parts, last = [], 0
    for match in strange.finditer(text):
        parts.append(usual(text[last : match.start()]))
        parts += [seen(character, name) for character, name in _named(match[0])]
        last = match.end()
    return "".join([*parts, usual(text[last:])])


def _named(text: str) -> Iterator[tuple[str, str | None]]:
    """Each character, with its name where it is to be shown by its number."""
    marks = 0
    for character in text:
        name, mark = _look(character)
        marks = marks + 1 if mark else 0
        yield character, name or (unicodedata.name(character, "mark") if marks > MOST_MARKS else None)


@lru_cache(4096)
def _look(character: str) -> tuple[str | None, bool]:
    """The name of a character without a look of its own, and whether it is a mark upon the one before."""
    category = unicodedata.category(character)
    unseen = character != " " and (category in UNSEEN or character in BLANK)
    return (unicodedata.name(character, "a control character") if unseen else None), category in MARKS


def number(character: str) -> str:
    """A character's number as Unicode writes it."""
    return f"U+{ord(character):04X}"


@lru_cache(4096)
def _mark(text: str, name: str) -> str:
    return format_html('<span class="unseen" title="{}">{}</span>', name.lower(), text)


def _in_order(value: dict[str, Any]) -> list[str]:
    return sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))


def _html_of(value: Any, line: str) -> Iterator[str]:
    """The pieces of a value; `line` is a line break with the indentation at hand."""
    if isinstance(value, str):
        yield f'<span class="json-text">&quot;<bdi>{_quoted(value)}</bdi>&quot;</span>'
        if len(value) > LONG:
            yield f'<span class="length">{len(value):,} characters</span>'
    elif isinstance(value, dict) and value:
        for place, key in enumerate(_in_order(value)):
            yield f"{',' if place else '{'}{line}{INDENT}"
            yield f'<span class="json-key">&quot;<bdi>{_quoted(key)}</bdi>&quot;</span>: '
            yield from _html_of(value[key], line + INDENT)
        yield line + "}"
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield f"{',' if place else '['}{line}{INDENT}"
            yield from _html_of(inner, line + INDENT)
        yield line + "]"
    else:
        yield f'<span class="json-other">{escape(_plain(value))}</span>'


def _text_of(value: Any, line: str) -> Iterator[str]:
    if isinstance(value, str):
        yield _escaped(value)
    elif isinstance(value, dict) and value:
        for place, key in enumerate(_in_order(value)):
            yield f"{',' if place else '{'}{line}{INDENT}{_escaped(key)}: "
            yield from _text_of(value[key], line + INDENT)
        yield line + "}"
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield f"{',' if place else '['}{line}{INDENT}"
            yield from _text_of(inner, line + INDENT)
        yield line + "]"
    else:
        yield _plain(value)


def _plain(value: Any) -> str:
    """A number, true, false, null or something empty, as the digest has it."""
    try:
        return digest.canonical(value).decode()
    except Invalid:
        return json.dumps(value)
