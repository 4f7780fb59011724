"""Anthropic's Messages API: Claude at Anthropic, and the servers and proxies that speak the same."""

import dataclasses
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from django.conf import settings

from agents.events import LENGTH, ReasoningDelta, Status, TextDelta, Usage
from agents.providers import anthropic_requests, payloads, prices, profiles, upstream
from agents.providers.base import (
    AnswerTooLong,
    ChatRequest,
    Kept,
    ProviderError,
    ProviderSpec,
    Spoken,
    StreamCut,
    StreamMalformed,
)
from agents.providers.calls import Calls, Fragment, Function, TooMuch
from agents.providers.speech import AT_FILTER, AT_LENGTH, Speech, storable
from agents.providers.sse import LineTooLong, Splitter
from agents.providers.upstream import Upstream

BASE_URL = f"https://{profiles.ANTHROPIC}/v1"
VERSION = "2023-06-01"
LIST_LIMIT = 4_000_000
LAST_WORDS_SECONDS = 2.0  # for the end of the stream, once the model has finished
MOST_BLOCKS = 10_000
MOST_SEALED = 1_000_000  # characters of signatures and of thoughts that came encrypted
ENDS = {
    "max_tokens": AT_LENGTH,
    "model_context_window_exceeded": Status("cut at the end of the model's context window", LENGTH),
    "refusal": AT_FILTER,
    "pause_turn": Status("paused by the provider before its end"),
}
STATUS_OF = {  # of an error that is reported in a stream, which has a type alone
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
# What this can read: an event, block or delta of another type is passed over, whatever is in it.
EVENTS = {"message_start", "content_block_start", "content_block_delta", "message_delta", "error"}
BLOCKS = {"text", "thinking", "redacted_thinking", "tool_use"}
DELTAS = {"text_delta", "thinking_delta", "signature_delta", "input_json_delta"}


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    message: _Message | None = None
    usage: _Usage | None = None
    error: Any = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] | None = None


_events = msgspec.json.Decoder(_Event)
_anything = msgspec.json.Decoder(dict[str, Any])
_models = msgspec.json.Decoder(_Models)


@dataclasses.dataclass(slots=True)
class _Thought:
    """A block of thinking, which began after so many characters of the answer."""

    at: int
    pieces: list[str]
    signature: str = ""
    data: str = ""

    def block(self) -> dict[str, Any]:
        """The block as it was sent."""
        if self.data:
            return {"type": "redacted_thinking", "data": storable(self.data)}
        thinking = storable("".join(self.pieces))
        return {"type": "thinking", "thinking": thinking, "signature": storable(self.signature)}


class Answer:
    """A stream's bytes folded into deltas: a pure object, fed as they come.

    `finish`: why the model ended, once it has; a break of the connection loses nothing from then on. `done`: the stream
    said that it ends. `over`: the answer is whole. `failure`: what went wrong, to be raised after the deltas before it.
    `busy`: the last bytes had a piece of something that is told later or not at all, as of a call.
    """

    def __init__(self, spec: ProviderSpec, model: str, *, limit: int, asked: ChatRequest | None = None) -> None:
        self._spec, self._model = spec, model
        self._asked = asked if asked and asked.tools else None
        self._calls = Calls()
        self._splitter = Splitter()
        self._speech = Speech(spec.name, limit)
        self._usage: _Usage | None = None
        self._open: dict[int | None, str | None] = {}  # the types of the blocks that have begun and not ended
        self._thoughts: list[_Thought] = []
        self._room = MOST_SEALED
        self._called_tools = False
        self.finish = ""
        self.done = self.over = self.busy = False
        self.failure: ProviderError | None = None

    def feed(self, received: bytes) -> list[Spoken]:
        """The deltas in these bytes, neighbours of one kind in one; no bytes are the end of the stream."""
        self.busy = False
        spoken: list[Spoken] = []
        try:
            for payload in self._splitter.feed(received) if received else self._splitter.end():
                self._hear(payload)
                if self.done:
                    break
        except LineTooLong:
            self.failure = StreamMalformed(f"{self._spec.name} sent a line of over a million bytes.")
        except ProviderError as error:
            self.failure = error
        spoken.extend(self._speech.take())
        self.failure = self._speech.failure or self.failure
        if not self.failure and (self.done or not received):
            self._end(spoken)
        return spoken

    def _end(self, spoken: list[Spoken]) -> None:
        """Add what is said last, or note that the answer is not whole."""
        name = self._spec.name
        if not (self.done or self.finish):
            self.failure = StreamCut(f"{name} ended its stream before its answer was complete.")
            return
        if self._called_tools and not (self._speech.characters or self._asked):
            self.failure = ProviderError(f"{name} called a tool that it was not offered.")
            return
        self.over = True
        if self._asked and self._calls:
            if self._thoughts:
                blocks = [{"at": thought.at, "block": thought.block()} for thought in self._thoughts]
                spoken.append(Kept(name, blocks, self._spec.kind))
            spoken.extend(self._calls.whole({call.call_id for said in self._asked.messages for call in said.calls}))
        if self.finish in ENDS:
            spoken.append(ENDS[self.finish])
        if self._usage:
            spoken.append(self._spent(self._usage))

    def _spent(self, usage: _Usage) -> Usage:
        """The tokens, those of the cache among them, and what they cost."""
        fresh, out = usage.input_tokens or 0, usage.output_tokens or 0
        written, read = usage.cache_creation_input_tokens or 0, usage.cache_read_input_tokens or 0
        given = fresh + written + read
        cost = prices.cost(self._spec.base_url, self._model, given, out, cached=read, written=written)
        return Usage(given, out, cost)

    def _hear(self, payload: bytes) -> None:
        """Take an event in; raises ProviderError for one that tells of an error or cannot be read."""
        event = self._read(payload)
        match event.type:
            case "content_block_delta" if event.delta:
                self._go_on(event.index, event.delta)
            case "content_block_start" if event.content_block:
                self._begin(event.index, event.content_block)
            case "content_block_stop":
                self._open.pop(event.index, None)
            case "message_start" if event.message:
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                self.finish = (event.delta and event.delta.stop_reason) or self.finish
            case "message_stop":
                self.done = True
            case "error":
                raise _refusal(self._spec, 200, event.error)

    def _read(self, payload: bytes) -> _Event:
        """The event, an empty one for what is not known; raises StreamMalformed."""
        try:
            return payloads.decode(_events, payload)
        except payloads.Unreadable:
            pass
        try:
            if not _known(payloads.decode(_anything, payload)):
                return _Event()
        except payloads.Unreadable:
            pass
        raise StreamMalformed(f"{self._spec.name} sent something that is not an event of an answer.")

    def _begin(self, index: int | None, block: _Block) -> None:
        """A block begins, as a rule an empty one."""
        if len(self._open) >= MOST_BLOCKS or len(self._thoughts) >= MOST_BLOCKS:
            raise StreamMalformed(f"{self._spec.name} sent blocks without end.")
        self._open[index] = block.type
        self.busy = True
        match block.type:
            case "text":
                self._speech.add(TextDelta, block.text or "")
            case "thinking":
                self._keep(_Thought(self._speech.characters, []))
                self._think(block.thinking or "", block.signature or "")
            case "redacted_thinking" if block.data:
                self._seal(len(block.data))
                self._keep(_Thought(self._speech.characters, [], data=block.data))
            case "tool_use":
                self._call(Fragment(index, block.id, Function(block.name, block.input or None)))

    def _go_on(self, index: int | None, delta: _Delta) -> None:
        """More of a block; one of a type that is not known is passed over."""
        self.busy = True
        match self._open.get(index):
            case "text":
                self._speech.add(TextDelta, delta.text or "")
            case "thinking":
                self._think(delta.thinking or "", delta.signature or "")
            case "tool_use":
                self._call(Fragment(index, function=Function(arguments=delta.partial_json)))

    def _think(self, text: str, signature: str) -> None:
        """More of a thought, and of what signs it."""
        if text:
            self._speech.add(ReasoningDelta, text)
        self._seal(len(signature))
        if self._thoughts:
            self._thoughts[-1].pieces.append(text)
            self._thoughts[-1].signature += signature

    def _keep(self, thought: _Thought) -> None:
        """Keep a thought, where a call may need it told again."""
        if self._asked:
            self._thoughts.append(thought)

    def _seal(self, size: int) -> None:
        """Take up room of what nobody reads; raises ProviderError where there is none left."""
        self._room -= size
        if self._room < 0:
            raise AnswerTooLong(f"{self._spec.name} sent more than {MOST_SEALED:,} characters of sealed thoughts.")

    def _call(self, fragment: Fragment) -> None:
        """Keep a piece of a call, unless no tool was offered; raises ProviderError where there are too many."""
        self._called_tools = True
        if self._asked:
            try:
                self._calls.feed([fragment])
            except TooMuch as error:
                raise AnswerTooLong(f"{self._spec.name} {error}.") from None

    def _count(self, usage: _Usage | None) -> None:
        """Take counts in: they go over those before them, and what is left out stays."""
        if usage is None:
            return
        held = self._usage or _Usage()
        self._usage = _Usage(*(more or before for more, before in zip(_counts(usage), _counts(held), strict=True)))


def _refusal(spec: ProviderSpec, status: int, found: Any, retry_after: float | None = None) -> ProviderError:
    """The error that is reported in an answer of 200, which has a type in place of a status."""
    code, words = upstream.read_error(found)
    return upstream.error_for(spec, STATUS_OF.get(code, status), code, words, retry_after=retry_after)


def _counts(usage: _Usage) -> tuple[int | None, ...]:
    return msgspec.structs.astuple(usage)


def _known(event: dict[str, Any]) -> bool:
    """Whether an event that cannot be read is of a kind that one should be able to read."""
    if event.get("type") not in EVENTS:
        return False
    block, delta = event.get("content_block"), event.get("delta")
    if isinstance(block, dict):
        return block.get("type") in BLOCKS
    return not isinstance(delta, dict) or "type" not in delta or delta["type"] in DELTAS


class AnthropicProvider:
    """Speaks `/messages` and `/models` below the spec's address, Anthropic's own where it has none."""

    def __init__(self, spec: ProviderSpec) -> None:
        self.spec = spec if spec.base_url else dataclasses.replace(spec, base_url=BASE_URL)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """The answer as it is spoken; raises ProviderError."""
        answer = Answer(self.spec, request.model, limit=settings.ANSWER_LIMIT, asked=request)
        body = anthropic_requests.body(request, self.spec, thinking=settings.ANTHROPIC_THINKING_TOKENS)
        headers = {**self._headers(), "Accept": "text/event-stream", "Content-Type": "application/json"}
        opened = await upstream.request(self.spec, "POST", "/messages", headers=headers, body=body)
        try:
            if opened.media_type != "text/event-stream":
                raise await upstream.no_stream(self.spec, opened, _refusal)
            while not (answer.over or answer.failure):
                spoken = answer.feed(await self._next(opened, answer))
                if spoken or answer.busy:
                    opened.spoke()
                for event in spoken:
                    yield event
            if answer.failure:
                raise answer.failure
            if answer.done:
                await opened.release()
        finally:
            opened.close()

    async def _next(self, opened: Upstream, answer: Answer) -> bytes:
        """More of the stream, nothing at its end; a break is an end too once the model has finished."""
        if not answer.finish:
            return await opened.read()
        opened.hurry(LAST_WORDS_SECONDS)
        try:
            return await opened.read()
        except ProviderError:
            return b""

    async def list_models(self) -> list[str]:
        """The names that `/models` lists; empty where there is no list."""
        opened = await upstream.request(self.spec, "GET", "/models?limit=1000", headers=self._headers())
        try:
            body = await opened.read_all(LIST_LIMIT)
            await opened.release()
        finally:
            opened.close()
        try:
            return [model.id for model in payloads.decode(_models, body).data or []]
        except payloads.Unreadable:
            return []

    def _headers(self) -> dict[str, str]:
        key = {"x-api-key": self.spec.api_key} if self.spec.api_key else {}
        return {**key, "anthropic-version": VERSION}
