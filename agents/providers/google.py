"""Google's Gemini API: Gemini at Google, and the servers and proxies that speak the same."""

import dataclasses
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings

from agents.events import ReasoningDelta, Status, TextDelta, Usage
from agents.providers import google_errors, google_requests, payloads, prices, profiles, upstream
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

BASE_URL = f"https://{profiles.GOOGLE}/v1beta"
LIST_LIMIT = 4_000_000
MOST_PAGES = 10  # of a list of models, with up to a thousand each
LAST_WORDS_SECONDS = 2.0  # for the end of the stream, once the model has finished
MOST_PARTS = 10_000  # that are kept
MOST_SEALED = 1_000_000  # characters of signatures
ENDS = {
    "MAX_TOKENS": AT_LENGTH,
    "RECITATION": Status("stopped by the provider because it recited a source"),
    "LANGUAGE": Status("stopped by the provider because of its language"),
    "OTHER": Status("stopped by the provider"),
    **dict.fromkeys(("SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"), AT_FILTER),
}
BROKEN = {  # what the model said could not be read; that of another try may be
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
}  # fmt: skip


class _Call(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    args: Any = None


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class _Chunk(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    error: Any = None


class _Model(msgspec.Struct, rename="camel"):
    name: str
    supported_generation_methods: list[str] | None = None


class _Models(msgspec.Struct, rename="camel"):
    models: list[_Model] | None = None
    next_page_token: str | None = None


_chunks = msgspec.json.Decoder(_Chunk)
_models = msgspec.json.Decoder(_Models)


class Answer:
    """A stream's bytes folded into deltas: a pure object, fed as they come.

    `finish`: why the model ended, once it has; a break of the connection loses nothing from then on, and the stream's
    end is its body's. `over`: the answer is whole. `failure`: what went wrong, to be raised after the deltas before it.
    `busy`: the last bytes had something that is told later or not at all, as a call.
    """

    def __init__(self, spec: ProviderSpec, model: str, *, limit: int, asked: ChatRequest | None = None) -> None:
        self._spec, self._model = spec, model
        self._asked = asked if asked and asked.tools else None
        self._calls = Calls()
        self._called = 0
        self._splitter = Splitter()
        self._speech = Speech(spec.name, limit)
        self._usage: _Usage | None = None
        self._parts: list[dict[str, Any]] = []  # that are to be told again with the calls
        self._signatures: list[str] = []  # of the calls
        self._room = MOST_SEALED
        self.finish = ""
        self.over = self.busy = False
        self.failure: ProviderError | None = None

    def feed(self, received: bytes) -> list[Spoken]:
        """The deltas in these bytes, neighbours of one kind in one; no bytes are the end of the stream."""
        self.busy = False
        try:
            for payload in self._splitter.feed(received) if received else self._splitter.end():
                self._hear(payload)
        except LineTooLong:
            self.failure = StreamMalformed(f"{self._spec.name} sent a line of over a million bytes.")
        except ProviderError as error:
            self.failure = error
        spoken: list[Spoken] = [*self._speech.take()]
        self.failure = self._speech.failure or self.failure
        if not (self.failure or received):
            self._end(spoken)
        return spoken

    def _end(self, spoken: list[Spoken]) -> None:
        """Add what is said last, or note that the answer is not whole."""
        name = self._spec.name
        if not self.finish:
            self.failure = StreamCut(f"{name} ended its stream before its answer was complete.")
            return
        if self._called and not (self._speech.characters or self._asked):
            self.failure = ProviderError(f"{name} called a tool that it was not offered.")
            return
        self.over = True
        if self._asked and self._calls:
            if self._parts or any(self._signatures):
                spoken.append(Kept(name, {"parts": self._parts, "calls": self._signatures}, self._spec.kind))
            spoken.extend(self._calls.whole({call.call_id for said in self._asked.messages for call in said.calls}))
        if self.finish in ENDS:
            spoken.append(ENDS[self.finish])
        if self._usage:
            spoken.append(self._spent(self._usage))

    def _spent(self, usage: _Usage) -> Usage:
        """The tokens, thoughts among those that the model wrote, and what they cost."""
        read = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
        written = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        cached = usage.cached_content_token_count or 0
        cost = prices.cost(self._spec.base_url, self._model, read, written, cached=cached)
        return Usage(read, written, cost)

    def _hear(self, payload: bytes) -> None:
        """Take a chunk in; raises ProviderError for one that tells of an error or cannot be read."""
        name = self._spec.name
        try:
            chunk = payloads.decode(_chunks, payload)
        except payloads.Unreadable:
            raise StreamMalformed(f"{name} sent something that is not a chunk of an answer.") from None
        if chunk.error:
            raise google_errors.refusal(self._spec, 200, {"error": chunk.error})
        self._usage = chunk.usage_metadata or self._usage
        if chunk.candidates:
            self._choose(chunk.candidates[0])
        elif chunk.prompt_feedback and (reason := chunk.prompt_feedback.block_reason):
            raise ProviderError(f"{name} did not answer: its content filter says {upstream.clean(self._spec, reason)}.")

    def _choose(self, candidate: _Candidate) -> None:
        """Take in what the first candidate says: no other was asked for."""
        for part in (candidate.content and candidate.content.parts) or ():
            self._take(part)
        self.finish = candidate.finish_reason or self.finish
        if self.finish in BROKEN:
            words = upstream.clean(self._spec, candidate.finish_message or "")
            raise StreamMalformed(f"{self._spec.name} broke its answer off with {self.finish}. {words}".strip())

    def _take(self, part: _Part) -> None:
        """Take in a piece of the answer, of a thought, or a call; of another kind it is passed over."""
        self.busy = True
        signature = storable(part.thought_signature or "")
        self._room -= len(signature)
        if self._room < 0 or len(self._parts) > MOST_PARTS:
            raise AnswerTooLong(f"{self._spec.name} sent more than {MOST_SEALED:,} characters of signatures.")
        if part.function_call:
            self._call(part.function_call, signature)
        elif part.text is not None:
            self._keep(part.text, signature, thought=bool(part.thought))
            self._speech.add(ReasoningDelta if part.thought else TextDelta, part.text)

    def _keep(self, text: str, signature: str, *, thought: bool) -> None:
        """Keep a thought, and what is signed, where a call may need it told again."""
        if not (self._asked and (thought or signature)):
            return
        last = self._parts[-1]["part"] if self._parts else {}
        at = self._speech.characters
        if thought and last.get("thought") and "thoughtSignature" not in last and self._parts[-1]["at"] == at:
            kept = last
            kept["text"] += storable(text)
        else:
            kept = {"text": storable(text), **({"thought": True} if thought else {})}
            self._parts.append({"at": at, "part": kept})
        if signature:
            kept["thoughtSignature"] = signature

    def _call(self, call: _Call, signature: str) -> None:
        """Keep a call, unless no tool was offered; raises ProviderError where there are too many."""
        self._called += 1
        if not self._asked:
            return
        self._signatures.append(signature)
        try:
            self._calls.feed([Fragment(self._called, call.id, Function(call.name, call.args))])
        except TooMuch as error:
            raise AnswerTooLong(f"{self._spec.name} {error}.") from None


class GoogleProvider:
    """Speaks `/models/…:streamGenerateContent` and `/models` below the spec's address, Google's own where it has none.

    The key is sent in a header, never in an address, which proxies and logs keep.
    """

    def __init__(self, spec: ProviderSpec) -> None:
        self.spec = spec if spec.base_url else dataclasses.replace(spec, base_url=BASE_URL)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """The answer as it is spoken; raises ProviderError."""
        answer = Answer(self.spec, request.model, limit=settings.ANSWER_LIMIT, asked=request)
        opened = await self._open(request)
        try:
            if opened.media_type != "text/event-stream":
                raise await upstream.no_stream(self.spec, opened, google_errors.refusal)
            while not (answer.over or answer.failure):
                spoken = answer.feed(await self._next(opened, answer))
                if spoken or answer.busy:
                    opened.spoke()
                for event in spoken:
                    yield event
            if answer.failure:
                raise answer.failure
        finally:
            opened.close()  # a connection whose answer was read to its end has been released by then

    async def _next(self, opened: Upstream, answer: Answer) -> bytes:
        """More of the stream, nothing at its end; a break is an end too once the model has finished."""
        if not answer.finish:
            return await opened.read()
        opened.hurry(LAST_WORDS_SECONDS)
        try:
            return await opened.read()
        except ProviderError:
            return b""

    async def _open(self, request: ChatRequest) -> Upstream:
        """The open stream; asks once more with simpler schemas where the server does not know JSON Schema."""
        path = f"/{_path(request.model)}:streamGenerateContent?alt=sse"
        body = google_requests.body(request, self.spec)
        try:
            return await self._ask("POST", path, body)
        except ProviderError as error:
            simpler = google_requests.body(request, self.spec, reduced=True)
            if simpler == body or not _about_schemas(error.detail):
                raise
        return await self._ask("POST", path, simpler)

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> Upstream:
        headers = {"x-goog-api-key": self.spec.api_key} if self.spec.api_key else {}
        if body is not None:
            headers |= {"Accept": "text/event-stream", "Content-Type": "application/json"}
        refuse = google_errors.refusal
        return await upstream.request(self.spec, method, path, headers=headers, body=body, refuse=refuse)

    async def list_models(self) -> list[str]:
        """The names of those on the list that answer messages; empty where there is no list."""
        names: list[str] = []
        token = ""
        for _ in range(MOST_PAGES):
            page = await self._page(token)
            names += [
                model.name.removeprefix("models/")
                for model in page.models or ()
                if "generateContent" in (model.supported_generation_methods or ())
            ]
            token = page.next_page_token or ""
            if not token:
                break
        return names

    async def _page(self, token: str) -> _Models:
        """A page of the list, an empty one where it is none."""
        after = f"&pageToken={quote(token, safe='')}" if token else ""
        opened = await self._ask("GET", f"/models?pageSize=1000{after}")
        try:
            found = await opened.read_all(LIST_LIMIT)
            await opened.release()
        finally:
            opened.close()
        try:
            return payloads.decode(_models, found)
        except payloads.Unreadable:
            return _Models()


def _path(model: str) -> str:
    """The model in an address: in its collection, and with nothing in it that would lead elsewhere."""
    collection, _, name = model.rpartition("/")
    if collection not in ("models", "tunedModels"):
        collection, name = "models", model
    return f"{collection}/{quote(name, safe='')}"


def _about_schemas(words: str) -> bool:
    """Whether a server finds fault with a schema or with the field that it stands in."""
    words = words.lower().replace("_", "")
    return "parametersjsonschema" in words or "functiondeclarations" in words
