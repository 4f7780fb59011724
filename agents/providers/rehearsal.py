"""The offline provider: it asks no model and says so, answers the same each time, and fails on request.

A directive in the person's message steers it: `[[rehearse: tokens=100 interval=20]]`. Its parts, in any order:

    tokens=N       say N words in place of the usual answer, most of them numbered (at most 20,000)
    interval=MS    milliseconds between words (10); the words take a minute together at most
    first=MS       milliseconds before the first word (0; at most 30,000)
    reason         think aloud before answering, as the model `rehearsal-reasoning` always does
    after=N        words before whatever goes wrong (0)
    fail=WHAT      fail with rate_limit, unauthorized, unavailable, malformed or error
    cut            end the stream in the middle
    stall          fall silent until the patience for tokens runs out

A part that is none of these is named in the answer, so that a typing error does not pass for a rehearsal. Only the
first 4,000 characters of a message are read: an answer is made on the event loop, and must cost little.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from agents.events import ReasoningDelta, TextDelta, Usage
from agents.providers.base import (
    ChatRequest,
    ProviderError,
    ProviderRateLimited,
    ProviderSpec,
    ProviderUnauthorized,
    ProviderUnavailable,
    Spoken,
    StreamCut,
    StreamMalformed,
)
from agents.providers.upstream import silence

MODELS = ("rehearsal", "rehearsal-reasoning")
OPENING = "This is a rehearsal: no model was asked."
FAILURES: dict[str, type[ProviderError]] = {
    "rate_limit": ProviderRateLimited,
    "unauthorized": ProviderUnauthorized,
    "unavailable": ProviderUnavailable,
    "malformed": StreamMalformed,
    "error": ProviderError,
}
BOUNDS = {"tokens": 20_000, "interval": 60_000, "first": 30_000, "after": 20_000}
SPEAKING_SECONDS = 60.0
READ = 4_000  # characters of a message
_DIRECTIVE = re.compile(r"\[\[\s{0,9}rehearse:([^\[\]]{0,200})\]\]")
_PERSONA = re.compile(r"You are ([^.\n]{1,200})")
_WORD = re.compile(r"\s*\S+\s?")


@dataclass(slots=True)
class Directions:
    """What the directives of a message ask for."""

    tokens: int = 0
    interval: int = 10
    first: int = 0
    after: int = 0
    reason: bool = False
    ending: str = ""  # cut, stall, or a key of FAILURES
    unknown: str = ""


def read(text: str) -> Directions:
    """The directions in a message; what cannot be read is kept in `unknown`."""
    found = Directions()
    for part in " ".join(_DIRECTIVE.findall(text)).split():
        key, _, value = part.partition("=")
        if key in BOUNDS and value.isascii() and value.isdecimal():
            setattr(found, key, min(int(value[:9]), BOUNDS[key]))
        elif part == "reason":
            found.reason = True
        elif part in ("cut", "stall") or (key == "fail" and value in FAILURES):
            found.ending = value or key
        else:
            found.unknown = part[:60]
    return found


def script(request: ChatRequest, directions: Directions) -> str:
    """The answer: what it is, what was asked, who would answer."""
    if directions.tokens:
        words = [*OPENING.split(), *(f"word{n}" for n in range(1, directions.tokens + 1))]
        return " ".join(words[: directions.tokens])
    said = " ".join(_DIRECTIVE.sub(" ", _asked(request)).split())
    quoted = said if len(said) <= 400 else said[:399] + "…"
    persona = _PERSONA.search(request.system[:READ])
    who = persona.group(1) if persona else "the companion"
    turns = sum(m.role == "user" for m in request.messages)
    parts = [
        f"{OPENING} The same message always gets this same answer.",
        f"You asked: “{quoted}”" if quoted else "Your message was empty.",
        f"In a performance {who} would answer it"
        + (f", with the {turns} messages that you have sent so far in mind." if turns > 1 else "."),
        "Set a provider up (for example OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own) to hear it.",
    ]
    if directions.unknown:
        parts.insert(1, f"I do not know the direction {directions.unknown!r}.")
    return "\n\n".join(parts)


def _asked(request: ChatRequest) -> str:
    """What of the person's last message is read."""
    return next((m.content.lstrip()[:READ] for m in reversed(request.messages) if m.role == "user"), "")


class RehearsalProvider:
    """Plays a model: see the module's text for how to direct it."""

    def __init__(self, spec: ProviderSpec) -> None:
        self.spec = spec

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """The rehearsed answer, word by word; raises ProviderError where a directive asks for it."""
        directions = read(_asked(request))
        words = _WORD.findall(script(request, directions))
        if directions.ending:
            words = words[: directions.after]
        thoughts: list[str] = []
        if (directions.reason or request.model.endswith("-reasoning")) and (words or not directions.ending):
            thoughts = _WORD.findall("I shall say what was asked, and who would answer it. ")
        pause = min(directions.interval / 1000, SPEAKING_SECONDS / max(1, len(thoughts) + len(words)))
        await asyncio.sleep(directions.first / 1000)
        for word in thoughts:
            yield ReasoningDelta(word)
            await asyncio.sleep(pause)
        for count, word in enumerate(words):
            if count:
                await asyncio.sleep(pause)
            yield TextDelta(word)
        if directions.ending:
            raise await self._end(directions)
        prompt = sum(text.count(" ") + 1 for text in (request.system, *(m.content for m in request.messages)) if text)
        yield Usage(input_tokens=prompt, output_tokens=len(words), cost_usd=0.0)

    async def _end(self, directions: Directions) -> ProviderError:
        """The failure that was asked for, when its time has come."""
        spoken = directions.after > 0
        if directions.ending == "cut":
            return StreamCut("The rehearsal was cut, as the message asked.")
        if directions.ending == "stall":
            spec = self.spec
            await asyncio.sleep(spec.between_tokens_seconds if spoken else spec.first_token_seconds)
            return silence(spec, spoken=spoken)
        return FAILURES[directions.ending]("The rehearsal failed, as the message asked.")

    async def list_models(self) -> list[str]:
        """The two parts that it can play."""
        return list(MODELS)
