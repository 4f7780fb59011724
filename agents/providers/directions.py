"""How a message directs the rehearsal: `[[rehearse: …]]`, read without asking any model.

Its parts, in any order:

    tokens=N       say N words in place of the usual answer, most of them numbered (at most 20,000)
    interval=MS    milliseconds between words (10); the words take a minute together at most
    first=MS       milliseconds before the first word (0; at most 30,000)
    reason         think aloud before answering, as the model `rehearsal-reasoning` always does
    after=N        words before whatever goes wrong (0)
    fail=WHAT      fail with rate_limit, unauthorized, unavailable, malformed or error
    cut            end the stream in the middle
    stall          fall silent until the patience for tokens runs out
    call=TOOL {…}  call a tool with these arguments; several are called at once
    loop=TOOL {…}  call a tool again and again
    vote=N         end the answer with VOTE: N, as a team's member that votes
    as=NAME        heed this directive only where the agent is NAME, of which a team has several

A directive of its own, which may stand in the system prompt as well, goes on after a tool's result:

    when FIELD=VALUE call=TOOL ARGUMENT=FIELD2
                   for each object in the result's list whose FIELD is VALUE, call TOOL with ARGUMENT as its FIELD2

Only the first 4,000 characters of a message are read: an answer is made on the event loop, and must cost little.
"""

import json
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from agents.providers.base import (
    ProviderError,
    ProviderRateLimited,
    ProviderUnauthorized,
    ProviderUnavailable,
    StreamMalformed,
)

FAILURES: dict[str, type[ProviderError]] = {
    "rate_limit": ProviderRateLimited,
    "unauthorized": ProviderUnauthorized,
    "unavailable": ProviderUnavailable,
    "malformed": StreamMalformed,
    "error": ProviderError,
}
BOUNDS = {"vote": 99, "tokens": 20_000, "interval": 60_000, "first": 30_000, "after": 20_000}
READ = 4_000  # characters of a message
READ_OF_SYSTEM = 50_000
MOST = 50  # directives of a text
_OPENING = re.compile(r"\[\[\s{0,9}rehearse:")
_CALL = re.compile(r"(call|loop)=([\w.-]{1,64})\s{0,9}(?=\{)")
_PART = re.compile(r"[^\s\[\]]{1,200}")
_BLANK = re.compile(r"\s*")
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Planned:
    """A call that a directive asks for; `arguments` is None where `raw` is not a JSON object."""

    tool: str
    arguments: dict[str, Any] | None
    raw: str = ""
    forever: bool = False


@dataclass(frozen=True, slots=True)
class When:
    """Which calls follow a result: of `tool` for each object whose field has the value, arguments from its fields."""

    name: str
    value: str
    tool: str
    arguments: dict[str, str]


@dataclass(slots=True)
class Directions:
    """What the directives of a message ask for, and the text without them."""

    text: str = ""
    tokens: int = 0
    interval: int = 10
    first: int = 0
    after: int = 0
    reason: bool = False
    vote: int = 0
    ending: str = ""  # cut, stall, or a key of FAILURES
    calls: list[Planned] = field(default_factory=list)
    whens: list[When] = field(default_factory=list)
    unknown: str = ""


def read(text: str, name: str = "") -> Directions:
    """The directions in a message for an agent of this name; what cannot be read is kept in `unknown`."""
    directives, rest = _directives(text[:READ])
    found = Directions(text=rest)
    for parts in directives:
        named = [part for part in parts if isinstance(part, str) and part.startswith("as=")]
        if named and named[-1][3:].casefold() != name.casefold():
            continue
        parts = [part for part in parts if part not in named]
        if parts and parts[0] == "when":
            _heed_when(found, parts)
        else:
            for part in parts:
                _heed(found, part)
    return found


def whens(system: str) -> list[When]:
    """What a system prompt says that is to follow a result; its other directives say nothing."""
    found = Directions()
    for parts in _directives(system[:READ_OF_SYSTEM])[0]:
        if parts and parts[0] == "when":
            _heed_when(found, parts)
    return found.whens


def _heed(found: Directions, part: str | Planned) -> None:
    if isinstance(part, Planned):
        found.calls.append(part)
        return
    key, _, value = part.partition("=")
    if key in BOUNDS and value.isascii() and value.isdecimal():
        setattr(found, key, min(int(value[:9]), BOUNDS[key]))
    elif part == "reason":
        found.reason = True
    elif part in ("cut", "stall") or (key == "fail" and value in FAILURES):
        found.ending = value or key
    elif key in ("call", "loop") and value:
        found.calls.append(Planned(value, {}, forever=key == "loop"))
    else:
        found.unknown = part[:60]


def _heed_when(found: Directions, parts: list[str | Planned]) -> None:
    pairs = [part.partition("=") for part in parts[1:] if isinstance(part, str)]
    if len(pairs) != len(parts) - 1 or len(pairs) < 2 or pairs[1][0] != "call" or not all(pair[2] for pair in pairs):
        found.unknown = " ".join(str(part) for part in parts)[:60]
        return
    (name, _, value), (_, _, tool), *rest = pairs
    found.whens.append(When(name, value, tool, {argument: source for argument, _, source in rest}))


def _directives(text: str) -> tuple[list[list[str | Planned]], str]:
    """The parts of each directive, and the text without them."""
    found, rest, at = list[list[str | Planned]](), list[str](), 0
    for match in islice(_OPENING.finditer(text), MOST):
        if match.start() < at:
            continue
        parsed = _directive(text, match.end())
        if parsed is not None:
            rest.append(text[at : match.start()])
            parts, at = parsed
            found.append(parts)
    return found, " ".join([*rest, text[at:]])


def _directive(text: str, at: int) -> tuple[list[str | Planned], int] | None:
    """The parts of the directive that goes on here, and where it ends; None where it does not end as one."""
    parts = list[str | Planned]()
    while True:
        at = _end(_BLANK, text, at)
        if text.startswith("]]", at):
            return parts, at + 2
        if match := _CALL.match(text, at):
            planned, at = _planned(match, text)
            parts.append(planned)
        elif match := _PART.match(text, at):
            parts.append(match[0])
            at = match.end()
        else:
            return None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _planned(match: re.Match[str], text: str) -> tuple[Planned, int]:
    """A call with its arguments, and where they end; what is no JSON goes up to the end of the directive."""
    forever = match[1] == "loop"
    try:
        arguments, end = _decoder.raw_decode(text, match.end())
        return Planned(match[2], arguments, forever=forever), end
    except (ValueError, RecursionError):
        end = text.find("]]", match.end())
        end = len(text) if end < 0 else end
        return Planned(match[2], None, text[match.end() : end].strip(), forever), end
