"""Serving a run to its watcher: headers, keep-alives and closing of an SSE stream, or one answer folded from it."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from agents.events import (
    Event,
    MessageCompleted,
    ReasoningDelta,
    RunRestarted,
    RunStarted,
    Snapshot,
    TextDelta,
    ToolFinished,
    ToolProposed,
    Usage,
)
from chat.following import Numbered
from core.handler import Later

log = logging.getLogger(__name__)

KEEP_ALIVE = b": keep-alive\n\n"


class Encoder(Protocol):
    """What a dialect brings: events in, bytes out."""

    def sse(self, seq: int, event: Event) -> bytes:
        """The event's frames."""


def sse(
    batches: AsyncGenerator[list[Numbered]],
    encoder: Encoder,
    *,
    fault: bytes,
    first: bytes = b"",
) -> StreamingHttpResponse:
    """A response that streams these events; `first` goes out before them, `fault` ends it if we break."""
    response = StreamingHttpResponse(
        _frames(batches, encoder, fault=fault, first=first), content_type="text/event-stream; charset=utf-8"
    )
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


async def until(batches: AsyncGenerator[list[Numbered]], over: Callable[[], bool]) -> AsyncGenerator[list[Numbered]]:
    """The batches up to the one with which the reader's stream is `over`, though the run may go on."""
    try:
        async for batch in batches:
            yield batch
            if over():
                return
    finally:
        await batches.aclose()


async def _frames(
    batches: AsyncGenerator[list[Numbered]], encoder: Encoder, *, fault: bytes, first: bytes
) -> AsyncIterator[bytes]:
    if first:
        yield first
    encode = encoder.sse
    try:
        async for batch in batches:
            if not batch:
                yield KEEP_ALIVE
                continue
            frames = b"".join([encode(seq, event) for seq, event in batch])
            if frames:
                yield frames
    except Exception:
        log.exception("a stream broke")
        yield fault
    finally:
        await batches.aclose()


def release_with(response: HttpResponseBase, release: Callable[[], None]) -> None:
    """Call `release` when the response is done with, even where its stream was never begun."""
    response._resource_closers.append(release)  # type: ignore[attr-defined]  # as Django's handlers do


class Fold:
    """What the events of a run add up to; a pure object.

    `whole` says whether the parts are all of the answer: what tools gave, and a text's place beside it, no event tells.
    """

    def __init__(self) -> None:
        self.whole = True
        self.parts: list[dict[str, str]] = []
        self.usage: Usage | None = None
        self.stored: MessageCompleted | None = None
        self.last: Event | None = None

    def step(self, event: Event) -> None:
        """Take one more event."""
        self.last = event
        match event:
            case TextDelta():
                self._say("text", event.text)
            case ReasoningDelta():
                self._say("reasoning", event.text)
            case Usage():
                self.usage = event
            case MessageCompleted():
                self.stored = event
            case RunStarted() | RunRestarted():
                self.parts, self.usage, self.whole = [], None, True
            case ToolProposed() | ToolFinished():
                self.whole = False
            case Snapshot():
                self.parts, self.whole = [], False
                self._say("reasoning", event.reasoning)
                self._say("text", event.text)
            case _:
                pass

    def _say(self, kind: str, text: str) -> None:
        if self.parts and self.parts[-1]["type"] == kind:
            self.parts[-1]["text"] += text
        elif text:
            self.parts.append({"type": kind, "text": text})


def answer(
    batches: AsyncGenerator[list[Numbered]], render: Callable[[Fold], Awaitable[tuple[int, Any]]]
) -> HttpResponse:
    """A response whose one JSON body is the fold of the same events: it is made when the last of them has come."""

    async def fold() -> tuple[int, Any]:
        folded = Fold()
        try:
            async for batch in batches:
                for _, event in batch:
                    folded.step(event)
        finally:
            await batches.aclose()
        return await render(folded)

    return Later(fold)
