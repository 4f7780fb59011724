"""Ollama's own API: lines of JSON, with thoughts of their own and models that tell what they can do."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import msgspec
from django.conf import settings

from agents.events import ReasoningDelta, Status, TextDelta, Usage
from agents.providers import abilities, ollama_models, ollama_requests, payloads, prices, profiles, upstream
from agents.providers.base import (
    AnswerTooLong,
    ChatRequest,
    Kept,
    ProviderError,
    ProviderSpec,
    ProviderUnauthorized,
    ProviderUnavailable,
    Spoken,
    StreamCut,
    StreamMalformed,
    UnknownModel,
)
from agents.providers.calls import Calls, Fragment, TooMuch
from agents.providers.ndjson import Splitter
from agents.providers.speech import AT_LENGTH, Speech, storable
from agents.providers.sse import LineTooLong
from agents.providers.thinking import Opening
from agents.providers.upstream import Upstream

BASE_URL = "http://127.0.0.1:11434"
LIST_LIMIT = 4_000_000  # of an answer of /api/show too, which holds the model's license and template
SHOW_SECONDS = 1.0  # for looking at the models of a list; who is not looked at by then is so the next time
LOOK_SECONDS = 5.0  # for looking at one that is asked before its list was
SHOWN_AT_ONCE, MOST_SHOWN = 8, 100
ENDS = {"length": AT_LENGTH}
ENDLESS_THOUGHTS = "ended in the middle of its thoughts"


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Fragment] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


_lines = msgspec.json.Decoder(_Line)
_tags = msgspec.json.Decoder(ollama_models.Tags)
_shown = msgspec.json.Decoder(ollama_models.Shown)


class Answer:
    """A stream's bytes folded into deltas: a pure object, fed as they come.

    `done`: the stream said that it ends. `over`: the answer is whole. `failure`: what went wrong, to be raised after
    the deltas before it. `busy`: the last bytes had a piece of something that is told later, as a call.
    """

    def __init__(self, spec: ProviderSpec, model: str, *, limit: int, asked: ChatRequest | None = None) -> None:
        self._spec, self._model = spec, model
        self._asked = asked if asked and asked.tools else None
        self._calls = Calls()
        self._called = 0
        self._splitter = Splitter()
        self._speech = Speech(spec.name, limit)
        self._opening = Opening()
        self._thoughts: list[str] = []  # that are to be told again with the calls
        self._last = _Line()
        self.done = self.over = self.busy = False
        self.failure: ProviderError | None = None

    def feed(self, received: bytes) -> list[Spoken]:
        """The deltas in these bytes, neighbours of one kind in one; no bytes are the end of the stream."""
        self.busy = False
        try:
            for payload in self._splitter.feed(received) if received else self._splitter.end():
                self._hear(payload)
                if self.done:
                    break
        except LineTooLong:
            self.failure = StreamMalformed(f"{self._spec.name} sent a line of over a million bytes.")
        except ProviderError as error:
            self.failure = error
        last = self.done or not received
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
        name, last = self._spec.name, self._last
        if not self.done:
            self.failure = StreamCut(f"{name} ended its stream before its answer was complete.")
        elif last.done_reason in ("load", "unload"):
            self.failure = ProviderUnavailable(f"{name} only {last.done_reason}ed the model and did not answer.")
        elif self._called and not (self._speech.characters or self._asked):
            self.failure = ProviderError(f"{name} called a tool that it was not offered.")
        if self.failure:
            return
        self.over = True
        if self._asked and self._calls:
            if self._thoughts:
                spoken.append(Kept(name, {"thoughts": storable("".join(self._thoughts))}, self._spec.kind))
            spoken.extend(self._calls.whole({call.call_id for said in self._asked.messages for call in said.calls}))
        if last.done_reason in ENDS:
            spoken.append(ENDS[last.done_reason])
        elif self._opening.unclosed:
            spoken.append(Status(label=ENDLESS_THOUGHTS))
        if last.prompt_eval_count is not None or last.eval_count is not None:
            tokens = last.prompt_eval_count or 0, last.eval_count or 0
            spoken.append(Usage(*tokens, cost_usd=prices.cost(self._spec.base_url, self._model, *tokens)))

    def _hear(self, payload: bytes) -> None:
        """Take a line in; raises ProviderError for one that tells of an error or cannot be read."""
        try:
            line = payloads.decode(_lines, payload)
        except payloads.Unreadable:
            raise StreamMalformed(f"{self._spec.name} sent something that is not a line of an answer.") from None
        if line.error:
            words = upstream.clean(self._spec, upstream.read_error({"error": line.error})[1])
            said = words or "an error without words"
            raise ProviderUnavailable(f"{self._spec.name} reported in its stream: {said}")
        if line.message is not None:
            self._say(line.message)
        if line.done:
            self.done, self._last = True, line

    def _say(self, message: _Message) -> None:
        """Take in the words of a line, and its calls."""
        if message.thinking:
            self._speech.add(ReasoningDelta, message.thinking)
            if self._asked:
                self._thoughts.append(message.thinking)
        if message.content:
            if self._opening.over:
                self._speech.add(TextDelta, message.content)
            else:
                self.busy = True
                for kind, piece in self._opening.feed(message.content):
                    self._speech.add(kind, piece)
        if message.tool_calls:
            self._call(message.tool_calls)

    def _call(self, calls: list[Fragment]) -> None:
        """Keep calls, which come whole, unless no tool was offered; raises ProviderError where there are too many."""
        self.busy = True
        for call in calls:
            call.index = self._called  # theirs begins anew in every line
            self._called += 1
        if self._asked:
            try:
                self._calls.feed(calls)
            except TooMuch as error:
                raise AnswerTooLong(f"{self._spec.name} {error}.") from None


class OllamaProvider:
    """Speaks `/api/chat`, `/api/tags` and `/api/show` below the spec's address, this machine's Ollama without one."""

    def __init__(self, spec: ProviderSpec) -> None:
        url = (spec.base_url or BASE_URL).rstrip("/").removesuffix("/v1").removesuffix("/api")
        self.spec = dataclasses.replace(spec, base_url=url)
        self._told_of = spec

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """The answer as it is spoken; raises ProviderError."""
        answer = Answer(self.spec, request.model, limit=settings.ANSWER_LIMIT, asked=request)
        opened = await self._open(request)
        try:
            if opened.media_type == "text/html":
                raise ProviderError(
                    f"{self.spec.name} answered with a page in place of lines of JSON. Is its address an Ollama's?"
                )
            while not (answer.over or answer.failure):
                spoken = answer.feed(await opened.read())
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

    async def _open(self, request: ChatRequest) -> Upstream:
        """The open stream of the answer; asks once more without thoughts where the model cannot think after all.

        Ollama leaves out silently what its context has no room for, unless it is told to refuse that.
        """
        model = await self._look_at(request.model)
        said = {**ollama_requests.body(request, self.spec), "truncate": False}
        if model and (size := model.context()):
            said["options"] = {**said.get("options", {}), "num_ctx": size}
        if not (model and abilities.REASONING in model.has):
            return await self._post("/api/chat", said)
        try:
            return await self._post("/api/chat", {**said, "think": True})
        except ProviderError as error:
            if "think" not in error.detail:
                raise
        return await self._post("/api/chat", said)

    async def list_models(self) -> list[str]:
        """The names of the models that are there, without those that cannot chat; empty where there is no list."""
        opened = await upstream.request(self.spec, "GET", "/api/tags", headers=self._headers())
        try:
            found = payloads.decode(_tags, await self._read(opened, LIST_LIMIT)).models or []
        except payloads.Unreadable:
            return []
        await self._look_at_all(found)
        names = [listed.name for listed in found if listed.chats() and profiles.chats(listed.name)]
        known = ((name, ollama_models.kept(self._told_of, name)) for name in names)
        return [name for name, model in known if model is None or model.chats]

    async def _look_at_all(self, found: list[ollama_models.Listed]) -> None:
        """Learn what the models can do that are new or changed, as far as a short time allows."""
        new = [one for one in found if not self._is_kept(one)][:MOST_SHOWN]
        turn = asyncio.Semaphore(SHOWN_AT_ONCE)

        async def look(listed: ollama_models.Listed) -> None:
            async with turn:
                with suppress(ProviderError):
                    await self._show(listed.name, listed.digest)

        with suppress(TimeoutError):
            async with asyncio.timeout(SHOW_SECONDS):
                await asyncio.gather(*map(look, new))

    def _is_kept(self, listed: ollama_models.Listed) -> bool:
        model = ollama_models.kept(self._told_of, listed.name)
        return model is not None and model.digest == listed.digest

    async def _look_at(self, name: str) -> ollama_models.Model | None:
        """What the model can do, from memory or asked now; None where the server does not tell."""
        if model := ollama_models.kept(self._told_of, name):
            return model
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._show(name)
        except (TimeoutError, UnknownModel, ProviderUnauthorized):
            return None  # the answer to the request itself says it better
        except ProviderError as error:
            return None if error.retryable else self._keep(name, ollama_models.Model())  # an older server

    async def _show(self, name: str, digest: str = "") -> ollama_models.Model:
        """Ask for what the model can do; raises ProviderError."""
        opened = await self._post("/api/show", {"model": name})
        try:
            shown = payloads.decode(_shown, await self._read(opened, LIST_LIMIT))
        except payloads.Unreadable:
            shown = ollama_models.Shown()
        return self._keep(name, ollama_models.model(shown, digest))

    def _keep(self, name: str, model: ollama_models.Model) -> ollama_models.Model:
        """Remember a model, under its short name too."""
        for known_as in {name, name.removesuffix(":latest")}:
            abilities.learn(self._told_of, known_as, model)
        return model

    async def _post(self, path: str, said: dict[str, Any]) -> Upstream:
        headers = {**self._headers(), "Content-Type": "application/json"}
        return await upstream.request(self.spec, "POST", path, headers=headers, body=ollama_requests.encoded(said))

    async def _read(self, opened: Upstream, limit: int) -> bytes:
        """The whole of a short answer; raises ProviderError."""
        try:
            body = await opened.read_all(limit)
            await opened.release()
        finally:
            opened.close()
        return body

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.spec.api_key}"} if self.spec.api_key else {}
