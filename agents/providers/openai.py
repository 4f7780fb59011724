"""OpenAI-compatible providers: OpenAI, Groq, OpenRouter, Mistral, DeepSeek, vLLM, LM Studio and their like."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from django.conf import settings

from agents.events import ReasoningDelta, Status, TextDelta, Usage
from agents.providers import abilities, openai_requests, payloads, presets, prices, profiles, upstream
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
from agents.providers.calls import Calls, Fragment, TooMuch
from agents.providers.openai_models import Models
from agents.providers.speech import AT_FILTER, AT_LENGTH, Speech, storable
from agents.providers.sse import LineTooLong, Splitter
from agents.providers.thinking import Opening
from agents.providers.upstream import Upstream

LIST_LIMIT = 4_000_000
WHOLE_LIMIT = 8_000_000
DEAREST_USD = 10_000  # that an answer can cost by a service's own words
LAST_WORDS_SECONDS = 2.0  # for usage and the end, once the model has finished
ENDS = {
    "length": AT_LENGTH,
    "content_filter": AT_FILTER,
}
ENDLESS_THOUGHTS = "ended in the middle of its thoughts"
STATUS_OF = {  # of an error that is reported in a stream, which has a code alone
    "invalid_api_key": 401,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "server_error": 500,
    "overloaded_error": 529,
}


class _Part(msgspec.Struct):
    """A piece of a content that comes as a list, as Mistral's does once a model thinks."""

    type: str | None = None
    text: str | None = None
    thinking: "list[_Part] | str | None" = None


class _Delta(msgspec.Struct):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, LM Studio
    reasoning: str | None = None  # OpenRouter, Groq, newer vLLM
    refusal: str | None = None
    tool_calls: list[Fragment] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None  # of servers that do not stream
    finish_reason: str | None = None
    error: Any = None  # OpenRouter


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Any = None  # of those that have a cache
    cost: Any = None  # OpenRouter


class _Groq(msgspec.Struct):
    usage: _Usage | None = None
    error: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    x_groq: _Groq | None = None
    error: Any = None  # an object as a rule, a text now and then


_chunks = msgspec.json.Decoder(_Chunk)
_models = msgspec.json.Decoder(Models)


class Answer:
    """A stream's bytes folded into deltas: a pure object, fed as they come.

    `finish`: why the model ended, once it has; a break of the connection loses nothing from then on. `done`: the stream
    said that it ends. `over`: the answer is whole. `failure`: what went wrong, to be raised after the deltas before it.
    `busy`: the last bytes had a piece of something that is told later, as of a call.
    """

    def __init__(self, spec: ProviderSpec, model: str, *, limit: int, asked: ChatRequest | None = None) -> None:
        self._spec, self._model = spec, model
        self._preset = presets.of(spec)
        self._asked = asked if asked and asked.tools else None
        self._calls = Calls()
        self._splitter = Splitter()
        self._speech = Speech(spec.name, limit)
        self._opening = Opening()
        self._thoughts: list[str] = []  # that are to be told again with the calls
        self._usage: _Usage | None = None
        self._called_tools = self._unstreamed = False
        self.finish = ""
        self.done = self.over = self.busy = False
        self.failure: ProviderError | None = None

    def feed(self, received: bytes) -> list[Spoken]:
        """The deltas in these bytes, neighbours of one kind in one; no bytes are the end of the stream."""
        self.busy = False
        try:
            events = self._splitter.feed(received) if received else self._splitter.end()
        except LineTooLong:
            self.failure = StreamMalformed(f"{self._spec.name} sent a line of over a million bytes.")
            events = []
        return self._fold(events, last=not received)

    def whole(self, body: bytes) -> list[Spoken]:
        """The answer of a server that did not stream."""
        self._unstreamed = True
        return self._fold([body], last=True)

    def _fold(self, events: list[bytes], *, last: bool) -> list[Spoken]:
        """The deltas in these events; at the last ones what is said at the end."""
        try:
            for payload in events:
                self._hear(payload)
                if self.done:
                    break
        except ProviderError as error:
            self.failure = error
        last = last or self.done
        if last or self.failure:
            for kind, text in self._opening.end():
                self._speech.add(kind, text)
        spoken: list[Spoken] = [*self._speech.take()]
        self.failure = self._speech.failure or self.failure
        if last and not self.failure:
            self._end(spoken)
        return spoken

    def _end(self, spoken: list[Spoken]) -> None:
        """Add what is said last, or note that the answer is not whole."""
        name = self._spec.name
        if self._unstreamed:  # then nothing says that it ends
            self.done = bool(self._speech.characters or self._called_tools)
        if not (self.done or self.finish):
            self.failure = StreamCut(f"{name} ended its stream before its answer was complete.")
            return
        if self._called_tools and not (self._speech.characters or self._asked):
            self.failure = ProviderError(f"{name} called a tool that it was not offered.")
            return
        self.over = True
        if self._asked and self._calls:
            if self._thoughts:
                spoken.append(Kept(name, {"thoughts": storable("".join(self._thoughts))}, self._spec.kind))
            spoken.extend(self._calls.whole({call.call_id for said in self._asked.messages for call in said.calls}))
        if self.finish in ENDS:
            spoken.append(ENDS[self.finish])
        elif self._opening.unclosed:
            spoken.append(Status(label=ENDLESS_THOUGHTS))
        if self._usage:
            spoken.append(self._spent(self._usage))

    def _spent(self, usage: _Usage) -> Usage:
        """The tokens, and what they cost by the service itself or by the price that is known."""
        tokens = usage.prompt_tokens or 0, usage.completion_tokens or 0
        if self._preset.tells_cost and type(usage.cost) in (int, float) and 0 <= usage.cost <= DEAREST_USD:
            return Usage(*tokens, cost_usd=float(usage.cost))
        details = usage.prompt_tokens_details
        told = details.get("cached_tokens") if isinstance(details, dict) else None
        cached = told if type(told) is int else 0
        return Usage(*tokens, cost_usd=prices.cost(self._spec.base_url, self._model, *tokens, cached=cached))

    def _hear(self, payload: bytes) -> None:
        """Take an event's data in; raises ProviderError for one that tells of an error or cannot be read."""
        if payload == b"[DONE]":
            self.done = True
            return
        try:
            chunk = payloads.decode(_chunks, payload)
        except payloads.Unreadable:
            raise StreamMalformed(f"{self._spec.name} sent something that is not a chunk of an answer.") from None
        if chunk.x_groq is not None:
            chunk.usage = chunk.usage or chunk.x_groq.usage
            chunk.error = chunk.error or chunk.x_groq.error
        if chunk.error:
            raise self._failure(chunk.error)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.choices:
            self._choose(chunk.choices[0])

    def _choose(self, choice: _Choice) -> None:
        """Take in what the first choice adds: no other was asked for."""
        delta = choice.delta or choice.message
        if delta is not None:
            self._say(delta)
        if choice.error or choice.finish_reason == "error":
            raise self._failure(choice.error)
        if choice.finish_reason:
            self.finish = choice.finish_reason

    def _say(self, delta: _Delta) -> None:
        """Take in the words of a delta, and its pieces of calls."""
        if thought := delta.reasoning_content or delta.reasoning:
            self._speech.add(ReasoningDelta, thought)
            if self._preset.told_again and self._asked:
                self._thoughts.append(thought)
        content = delta.content or delta.refusal
        if isinstance(content, str):
            self._write(content)
        elif content:
            for part in content:
                self._speech.add(ReasoningDelta, _thought(part.thinking))
                self._write(part.text or "")
        if delta.tool_calls:
            self._call(delta.tool_calls)

    def _write(self, text: str) -> None:
        """More of the answer, which may begin with thoughts."""
        if self._opening.over:
            self._speech.add(TextDelta, text)
        elif text:
            self.busy = True
            for kind, piece in self._opening.feed(text):
                self._speech.add(kind, piece)

    def _call(self, fragments: list[Fragment]) -> None:
        """Keep pieces of calls, unless no tool was offered; raises ProviderError where there are too many."""
        self._called_tools = self.busy = True
        if self._asked:
            try:
                self._calls.feed(fragments)
            except TooMuch as error:
                raise AnswerTooLong(f"{self._spec.name} {error}.") from None

    def _failure(self, reported: Any) -> ProviderError:
        """The error that a provider reports in the middle of its stream; its code may be an HTTP status."""
        code, words = upstream.read_error(reported)
        status = int(code) if code.isdecimal() and len(code) == 3 else STATUS_OF.get(code, 0)
        if status >= 400:
            return upstream.error_for(self._spec, status, code, words)
        said = upstream.clean(self._spec, words) or "an error without words"
        return ProviderError(f"{self._spec.name} reported in its stream: {said}")


def _thought(thinking: list[_Part] | str | None) -> str:
    """The words of a part that is a thought, empty of any other."""
    return "".join(part.text or "" for part in thinking) if isinstance(thinking, list) else thinking or ""


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
        """The names that `/models` lists, without those that cannot chat; empty where there is no list."""
        opened = await upstream.request(self.spec, "GET", "/models", headers=self._headers())
        try:
            body = await opened.read_all(LIST_LIMIT)
            await opened.release()
        finally:
            opened.close()
        try:
            found = payloads.decode(_models, body).data or []
        except payloads.Unreadable:
            return []
        for model in found:
            if told := model.told():
                abilities.learn(self.spec, model.id, told)
        return [model.id for model in found if profiles.chats(model.id) and model.chats()]

    async def _open(self, request: ChatRequest) -> Upstream:
        """The open stream of the answer; asks anew without an option that the server does not know, or by its name."""
        said = openai_requests.body(request, self.spec)
        headers = {**self._headers(), "Accept": "text/event-stream", "Content-Type": "application/json"}
        while True:
            try:
                return await self._post(headers, said)
            except ProviderError as error:
                other = openai_requests.without(said, error.detail)
                if other is None:
                    raise
            said = other

    async def _post(self, headers: dict[str, str], said: dict[str, Any]) -> Upstream:
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
