"""OpenAI-compatible providers: OpenAI, Groq, OpenRouter, Ollama, vLLM, LM Studio and their like."""

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import msgspec
from django.conf import settings

from agents.events import ReasoningDelta, Status, TextDelta, Usage
from agents.providers import profiles, upstream
from agents.providers.base import (
    AnswerTooLong,
    ChatMessage,
    ChatRequest,
    ProviderError,
    ProviderSpec,
    Spoken,
    StreamCut,
    StreamMalformed,
    ToolCall,
    ToolDefinition,
)
from agents.providers.calls import Calls, Fragment, TooMuch
from agents.providers.sse import LineTooLong, Splitter
from agents.providers.upstream import Upstream

LIST_LIMIT = 4_000_000
WHOLE_LIMIT = 8_000_000
LAST_WORDS_SECONDS = 2.0  # for usage and the end, once the model has finished
ENDS = {
    "length": "cut at the model's length limit",
    "content_filter": "stopped by the provider's content filter",
}
STATUS_OF = {  # of an error that is reported in a stream, which has a code alone
    "invalid_api_key": 401,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "server_error": 500,
    "overloaded_error": 529,
}
MOST_TURNS = 1_000  # from reasoning to answer and back: each is a part of the message that is stored
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, LM Studio
    reasoning: str | None = None  # OpenRouter, Groq, Ollama
    refusal: str | None = None
    tool_calls: list[Fragment] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None  # of servers that do not stream
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None  # an object as a rule, a text now and then


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] | None = None


_chunks = msgspec.json.Decoder(_Chunk)
_models = msgspec.json.Decoder(_Models)


class Answer:
    """A stream's bytes folded into deltas: a pure object, fed as they come.

    `finish`: why the model ended, once it has; a break of the connection loses nothing from then on. `done`: the stream
    said that it ends. `over`: the answer is whole. `failure`: what went wrong, to be raised after the deltas before it.
    `calling`: the last bytes had a piece of a call, which is told once all are whole.
    """

    def __init__(self, spec: ProviderSpec, model: str, *, limit: int, asked: ChatRequest | None = None) -> None:
        self._spec, self._model = spec, model
        self._asked = asked if asked and asked.tools else None
        self._calls = Calls()
        self._splitter = Splitter()
        self._limit = self._room = limit
        self._usage: _Usage | None = None
        self._called_tools = self._said = False
        self._last: type[TextDelta] | type[ReasoningDelta] | None = None
        self._turns = 0
        self.finish = ""
        self.done = self.over = self.calling = False
        self.failure: ProviderError | None = None

    def feed(self, received: bytes) -> list[Spoken]:
        """The deltas in these bytes, neighbours of one kind in one; no bytes are the end of the stream."""
        self.calling = False
        try:
            spoken = self._fold(self._splitter.feed(received) if received else self._splitter.end())
        except LineTooLong:
            self.failure = StreamMalformed(f"{self._spec.name} sent a line of over a million bytes.")
            return []
        if self.done or not received:
            self._end(spoken)
        return spoken

    def whole(self, body: bytes) -> list[Spoken]:
        """The answer of a server that did not stream."""
        spoken = self._fold([body])
        self.done = bool(spoken)
        self._end(spoken)
        return spoken

    def _end(self, spoken: list[Spoken]) -> None:
        """Add what is said last, or note that the answer is not whole."""
        name = self._spec.name
        if not (self.failure or self.done or self.finish):
            self.failure = StreamCut(f"{name} ended its stream before its answer was complete.")
        if self._called_tools and not (self._said or self._asked):
            self.failure = self.failure or ProviderError(f"{name} called a tool that it was not offered.")
        if self.failure:
            return
        self.over = True
        if self._asked:
            spoken.extend(self._calls.whole({call.call_id for said in self._asked.messages for call in said.calls}))
        if self.finish in ENDS:
            spoken.append(Status(label=ENDS[self.finish]))
        if self._usage:
            tokens = self._usage.prompt_tokens or 0, self._usage.completion_tokens or 0
            cost = profiles.cost(self._spec.base_url, self._model, *tokens)
            spoken.append(Usage(*tokens, cost_usd=cost))

    def _fold(self, payloads: list[bytes]) -> list[Spoken]:
        spoken: list[Spoken] = []
        kind: type[TextDelta] | type[ReasoningDelta] = TextDelta
        held = ""
        for payload in payloads:
            if self.failure:
                break
            try:
                delta = self._read(payload)
            except ProviderError as error:
                self.failure = error
                break
            if self.done:
                break
            if delta is None:
                continue
            for new, more in _said(delta):
                if kind is not new:
                    self._say(spoken, kind, held)
                    held = ""
                kind, held = new, held + more
        self._say(spoken, kind, held)
        return spoken

    def _read(self, payload: bytes) -> _Delta | None:
        """The delta in an event's data, with whatever else it holds noted; raises ProviderError."""
        if payload == b"[DONE]":
            self.done = True
            return None
        chunk = self._decode(payload)
        if chunk.error:
            raise self._failure(chunk.error)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not chunk.choices:
            return None
        choice = chunk.choices[0]
        if choice.finish_reason:
            self.finish = choice.finish_reason
        delta = choice.delta or choice.message
        if delta is not None and delta.tool_calls:
            self._hear(delta.tool_calls)
        return delta

    def _hear(self, fragments: list[Fragment]) -> None:
        """Keep pieces of calls, unless no tool was offered; raises ProviderError where there are too many."""
        self._called_tools = self.calling = True
        if self._asked:
            try:
                self._calls.feed(fragments)
            except TooMuch as error:
                raise AnswerTooLong(f"{self._spec.name} {error}.") from None

    def _decode(self, payload: bytes) -> _Chunk:
        try:
            return _chunks.decode(payload)
        except _UNREADABLE:
            pass
        try:  # half of a surrogate pair, from a server that cuts its tokens by UTF-16 units
            return _chunks.decode(_LONE_SURROGATE.sub(rb"\\ufffd", payload))
        except _UNREADABLE:
            raise StreamMalformed(f"{self._spec.name} sent something that is not a chunk of an answer.") from None

    def _failure(self, reported: Any) -> ProviderError:
        """The error that a provider reports in the middle of its stream; its code may be an HTTP status."""
        code, words = upstream.read_error(reported)
        status = int(code) if code.isdecimal() and len(code) == 3 else STATUS_OF.get(code, 0)
        if status >= 400:
            return upstream.error_for(self._spec, status, code, words)
        said = upstream.clean(self._spec, words) or "an error without words"
        return ProviderError(f"{self._spec.name} reported in its stream: {said}")

    def _say(self, spoken: list[Spoken], kind: type[TextDelta] | type[ReasoningDelta], text: str) -> None:
        if "\x00" in text:  # PostgreSQL keeps no NUL, and nobody can read one
            text = text.replace("\x00", "\ufffd")
        if len(text) > self._room:
            text = text[: self._room]
            self.failure = AnswerTooLong(f"The answer went over {self._limit:,} characters.")
        if not text:
            return
        self._turns += kind is not self._last
        self._last = kind
        if self._turns > MOST_TURNS:
            self.failure = StreamMalformed(f"{self._spec.name} went from thinking to answering over and over.")
            return
        self._room -= len(text)
        self._said = self._said or kind is TextDelta
        spoken.append(kind(text))


def _said(delta: _Delta) -> Iterator[tuple[type[TextDelta] | type[ReasoningDelta], str]]:
    """What a delta adds, of each kind."""
    if thought := delta.reasoning_content or delta.reasoning:
        yield ReasoningDelta, thought
    if text := delta.content or delta.refusal:
        yield TextDelta, text


def _message(said: ChatMessage) -> dict[str, object]:
    """An entry of the conversation in their format."""
    if said.role == "tool":
        return {"role": "tool", "tool_call_id": said.call_id, "content": said.content}
    if not said.calls:
        return {"role": said.role, "content": said.content}
    calls = [
        {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
        for call in said.calls
    ]
    return {"role": said.role, "content": said.content or None, "tool_calls": calls}


def _arguments(call: ToolCall) -> str:
    """The arguments as JSON; servers that read them refuse a request with any that are none."""
    return msgspec.json.encode(call.arguments or {}).decode()


def _tool(offered: ToolDefinition) -> dict[str, object]:
    return {"type": "function", "function": offered}


class OpenAIProvider:
    """Speaks `/chat/completions` and `/models` below the spec's address."""

    def __init__(self, spec: ProviderSpec) -> None:
        self.spec = spec

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """The answer as it is spoken; raises ProviderError."""
        answer = Answer(self.spec, request.model, limit=settings.ANSWER_LIMIT, asked=request)
        opened = await self._open(request)
        try:
            if opened.media_type != "text/event-stream":
                for event in answer.whole(await self._whole(opened)):
                    yield event
            while not (answer.over or answer.failure):
                spoken = answer.feed(await self._next(opened, answer))
                if spoken or answer.calling:
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
        """The names that `/models` lists, without those that cannot chat; empty where there is no list."""
        opened = await upstream.request(self.spec, "GET", "/models", headers=self._headers())
        try:
            body = await opened.read_all(LIST_LIMIT)
            await opened.release()
        finally:
            opened.close()
        try:
            found = _models.decode(body).data or []
        except _UNREADABLE:
            return []
        return [model.id for model in found if profiles.chats(model.id)]

    async def _open(self, request: ChatRequest) -> Upstream:
        """The open stream of the answer; asks once more without usage of a server that does not know that option."""
        system = (ChatMessage("system", request.system),) if request.system else ()
        said: dict[str, object] = {
            "model": request.model,
            "messages": [_message(one) for one in (*system, *request.messages)],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.tools:
            said["tools"] = [_tool(one) for one in request.tools]
        headers = {**self._headers(), "Accept": "text/event-stream", "Content-Type": "application/json"}
        try:
            return await self._post(headers, said)
        except ProviderError as error:
            if "stream_options" not in error.detail:
                raise
        del said["stream_options"]
        return await self._post(headers, said)

    async def _post(self, headers: dict[str, str], said: dict[str, object]) -> Upstream:
        body = msgspec.json.encode(said)
        return await upstream.request(self.spec, "POST", "/chat/completions", headers=headers, body=body)

    async def _whole(self, opened: Upstream) -> bytes:
        """The body of a server that did not stream although it was asked to; raises ProviderError."""
        if opened.media_type != "application/json":
            raise ProviderError(
                f"{self.spec.name} answered with {opened.media_type[:60] or 'no media type'} in place of an event "
                "stream. Is its address right, up to and with /v1?"
            )
        return await opened.read_all(WHOLE_LIMIT)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.spec.api_key}"} if self.spec.api_key else {}
