"""What each dialect's encoder takes of a CPU for an event: a recorded run in, the bytes of its stream out."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Protocol

from benchmarks import upstream, wire
from benchmarks.answers import DIALECTS, Answer

if TYPE_CHECKING:
    from agents.events import Event

MOST_MICROSECONDS = 5
RUN = "0199c5f0-9d3a-7c11-8e42-3f1f6b1c0a01"
SESSION = "0199c5f0-9d3a-7c11-8e42-3f1f6b1c0a02"
WHO = {"companion": "smart-home", "provider": "openai", "model": "gpt-5-mini"}


class Encoder(Protocol):
    """What every dialect brings."""

    def sse(self, seq: int, event: "Event") -> bytes:
        """The event's frames."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A dialect's encoder: µs of CPU an event in each round, of one who speaks alone and of two at the same time."""

    dialect: str
    alone: list[float]
    together: list[float]

    def row(self) -> list[str]:
        """The line of the table."""
        reached = max(median(self.alone), median(self.together)) <= MOST_MICROSECONDS
        told = [f"{median(one):.2f} ({min(one):.2f}–{max(one):.2f})" for one in (self.alone, self.together)]
        return [self.dialect, *told, f"≤ {MOST_MICROSECONDS}", "yes" if reached else "**no**"]


def encoders(*, team: bool = False) -> Mapping[str, Callable[[], Encoder]]:
    """Makes the encoder of each dialect for a new reader; the chat sessions API has that of the native one.

    They are imported here, because they need Django to be set up.
    """
    from chat.dialects.ag_ui import encoder as ag_ui  # noqa: PLC0415
    from chat.dialects.agents import encoder as agents  # noqa: PLC0415
    from chat.dialects.ai_sdk import encoder as ai_sdk  # noqa: PLC0415
    from chat.dialects.assistant import encoder as assistant  # noqa: PLC0415
    from chat.dialects.native import encoder as native  # noqa: PLC0415
    from chat.dialects.openai import encoder as openai  # noqa: PLC0415

    about = openai.About(id=f"chatcmpl-{RUN}", created=1763715600, model="companion/smart-home", metadata={})
    ran = {"runId": RUN, "sessionId": SESSION, **WHO}
    return {
        "native": lambda: native.Encoder(session_id=SESSION, run_id=RUN, **WHO),
        "assistant": lambda: assistant.Encoder(conversation_id=SESSION, run_id=RUN, provider="openai"),
        "agents": lambda: agents.Encoder(team=team),
        "openai": lambda: openai.Encoder(about, usage=True),
        "ai_sdk": lambda: ai_sdk.Encoder(sdk=7, run=ran),
        "ag_ui": lambda: ag_ui.Encoder(thread_id="kitchen", run_id="r-1", run=RUN, session_id=SESSION),
    }


def recorded(tokens: int, *, team: bool = False) -> "list[Event]":
    """The events of a run that thinks a little, makes a call and says so many tokens; a team's are said by turns."""
    from agents import events  # noqa: PLC0415  it needs no Django, but the others do

    thoughts = [events.ReasoningDelta(f"thought {number} ") for number in range(tokens // 10)]
    members = [events.Speaker(str(place), f"Member {place}", "member", f"1.member.{place}") for place in (1, 2)]
    who = members if team else [None]
    said = [events.TextDelta(f"tok {number} ", who[number % len(who)]) for number in range(tokens)]
    text = upstream.answer(tokens)
    return [
        events.RunStarted(SESSION, **WHO),
        *thoughts,
        events.ToolProposed("call_1_1", "device_list", {"room": "kitchen"}),
        events.ToolStarted("call_1_1", "device_list"),
        events.ToolFinished("call_1_1", "device_list", True, "12 devices"),
        *said,
        events.Usage(1200, tokens, 0.0021),
        events.MessageCompleted(RUN, "2026-11-21T08:52:19.385406Z"),
        events.RunCompleted(RUN, text, WHO["provider"], WHO["model"]),
    ]


def measure(dialect: str, *, tokens: int, streams: int, rounds: int) -> Encoding:
    """All rounds of one encoder; raises AssertionError where it does not say what the run said."""
    check(dialect, b"".join(_stream(encoders()[dialect](), recorded(tokens))), tokens)
    took = []
    for team in (False, True):
        make, events = encoders(team=team)[dialect], recorded(tokens, team=team)
        took.append([_round([make() for _ in range(streams)], events) for _ in range(rounds)])
    return Encoding(dialect, *took)


def _round(readers: list[Encoder], events: "list[Event]") -> float:
    """µs an event that these readers take for the run, each all of it."""
    gc.collect()
    before = time.process_time()
    for encoder in readers:
        _stream(encoder, events)
    return (time.process_time() - before) * 1e6 / (len(events) * len(readers))


def _stream(encoder: Encoder, events: "list[Event]") -> list[bytes]:
    encode = encoder.sse
    return [encode(number, event) for number, event in enumerate(events)]


def check(dialect: str, said: bytes, tokens: int) -> None:
    """Raises AssertionError where the stream's text is not the run's, or the stream has no end."""
    answer, ended = Answer(), False
    for event in wire.Events().feed(said):
        ended = DIALECTS[dialect].is_last(event)
        answer.text += "".join(DIALECTS[dialect].texts(event, answer))
    if answer.text != upstream.answer(tokens) or not ended:
        raise AssertionError(f"{dialect} said {answer.text[:80]!r}, and its end: {ended}")
