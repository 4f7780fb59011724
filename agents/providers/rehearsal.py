"""The offline provider: it asks no model and says so, answers the same request the same each time, fails on request.

How a message directs it is told in `directions`. It calls tools where a directive says so, or where the words of the
message name one that is offered, and afterwards tells what they said. A part of a directive that it does not know is
named in the answer, so that a typing error does not pass for a rehearsal.
"""

import asyncio
import re
from collections.abc import AsyncGenerator

from agents.events import ReasoningDelta, TextDelta, Usage
from agents.providers import casting
from agents.providers.base import ChatRequest, ProviderError, ProviderSpec, Spoken, StreamCut, ToolCall
from agents.providers.casting import Turn
from agents.providers.directions import FAILURES, READ, Directions, read
from agents.providers.speech import AT_LENGTH
from agents.providers.upstream import silence

MODELS = ("rehearsal", "rehearsal-reasoning")
OPENING = "This is a rehearsal: no model was asked."
SPEAKING_SECONDS = 60.0
_PERSONA = re.compile(r"You are ([^.\n]{1,200})")
_EVENT = re.compile(r"<event>[^<]*</event>")
_DATED = re.compile(r"\[([\d-]+), (person|you|noted)\] ")  # how a line of the history begins: when, and who said it
_WHO = {"person": "On {} you said", "noted": "Noted on {}"}
_WORD = re.compile(r"\s*\S+\s?")


def script(request: ChatRequest, directions: Directions, turn: Turn, calls: list[ToolCall]) -> str:
    """What is said now: what it is, then what it calls, or what the tools said, or what was asked."""
    if directions.tokens and not turn.results:
        words = [*OPENING.split(), *(f"word{n}" for n in range(1, directions.tokens + 1))]
        return " ".join(words[: directions.tokens])
    parts = [] if turn.said.startswith(OPENING) else [OPENING]
    if directions.unknown and not turn.results:
        parts.append(f"I do not know the direction {directions.unknown!r}.")
    if calls:
        names = ", ".join(dict.fromkeys(call.name for call in calls))
        parts.append(f"As your words ask me to, I call {names}.\n\n")
    elif turn.results:
        parts += [*casting.told(turn), "That is all: no model has thought about it."]
    else:
        parts += _answer(request, directions)
    if directions.vote and not calls:
        parts.append(f"VOTE: {directions.vote}")
    return "\n\n".join(parts)


def _answer(request: ChatRequest, directions: Directions) -> list[str]:
    """The answer where no tool is called: what was asked, and who would answer."""
    said = " ".join(directions.text.split())
    quoted = said if len(said) <= 400 else said[:399] + "…"
    persona = _PERSONA.search(request.system[:READ])
    who = persona.group(1) if persona else "the companion"
    turns = sum(m.role == "user" and not m.recalled for m in request.messages)
    parts = [
        "What I say is made by fixed rules, of your message and of what I am told with it.",
        f"You asked: “{quoted}”" if quoted else "Your message was empty.",
        *_memories(request),
        *_pictures(request),
        f"With a model set up, {who} would answer here"
        + (f", with the {turns} messages that you have sent so far in mind." if turns > 1 else "."),
        "To hear that, set a provider up, for example by OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own.",
    ]
    if directions.calls:
        parts.insert(2, "I was directed to call a tool, but none is offered to me.")
    return parts


def _memories(request: ChatRequest) -> list[str]:
    """What it was told of the person, each on its own line: so a rehearsal shows what a model would know.

    What the companion said itself is counted alone, or answers would recite one another.
    """
    recalled = "\n".join(m.content for m in request.messages if m.recalled)
    known, own = list[str](), 0
    for line in recalled.splitlines():
        if dated := _DATED.match(line):
            if dated[2] == "you":
                own += 1
            else:
                known.append(f"- {_WHO[dated[2]].format(dated[1])}: {line[dated.end() :]}")
        elif line.startswith("- "):
            known.append(line)
    told = ["This is remembered of you, and a model would know it:", "\n".join(known)] if known else []
    if own:
        told.append(f"It would know {own} earlier answer{'s' if own > 1 else ''} of the companion, too.")
    return told


def _pictures(request: ChatRequest) -> list[str]:
    """What is said of the images that came with the last message, which nobody has looked at."""
    shown = next((m.images for m in reversed(request.messages) if m.role == "user"), ())
    if not shown:
        return []
    sizes = ", ".join(f"{one.media_type} of {len(one.data) * 3 // 4 - one.data.count('='):,} bytes" for one in shown)
    return [f"With it came {len(shown)} image{'s' if len(shown) > 1 else ''} ({sizes}); nobody has looked at any."]


def _name(request: ChatRequest) -> str:
    """Who the system prompt says that is spoken as."""
    persona = _PERSONA.search(request.system[:READ])
    return persona.group(1) if persona else ""


def _asked(request: ChatRequest) -> str:
    """What of the person's last message is read."""
    said = next((m.content for m in reversed(request.messages) if m.role == "user"), "")
    return _EVENT.sub(" ", said).lstrip()[:READ]  # an event's data gives no directions


class RehearsalProvider:
    """Plays a model: see the module's text for how to direct it."""

    def __init__(self, spec: ProviderSpec) -> None:
        self.spec = spec

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """The rehearsed answer, word by word; raises ProviderError where a directive asks for it."""
        directions, turn = read(_asked(request), _name(request)), Turn.of(request)
        calls = casting.calls(request, turn, directions)
        words = _WORD.findall(script(request, directions, turn, calls))
        if directions.ending:
            words = words[: directions.after]
        cut = request.most_tokens is not None and len(words) > request.most_tokens
        if cut:
            words = words[: request.most_tokens]
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
        for call in calls:
            yield call
        if cut:
            yield AT_LENGTH
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
