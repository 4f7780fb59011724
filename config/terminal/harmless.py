"""Text of models, tools and people, as a terminal may be shown it: it can neither steer it nor pretend to be of it."""

import json
from typing import Any

KEPT = frozenset("\n\t")
INSTEAD = "\N{REPLACEMENT CHARACTER}"
# What turns the direction of the text that follows: a line could read otherwise than what would run.
_TURNS = frozenset(map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def text(said: str) -> str:
    """The text with every control character replaced, character by character: a sequence may come in two pieces."""
    return "".join(INSTEAD if _steers(char) else char for char in said.replace("\r\n", "\n"))


def line(said: object, most: int = 300) -> str:
    """The text on one line, no longer than that."""
    flat = " ".join(text(str(said)).split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def exact(value: Any) -> str:
    """A value as JSON, all of it; what has no look of its own is written as JSON escapes it."""
    whole = json.dumps(value, ensure_ascii=False, indent=2)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in whole)


def _steers(char: str) -> bool:
    code = ord(char)
    control = code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029)
    return (control and char not in KEPT) or char in _TURNS
