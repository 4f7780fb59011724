"""Who answers a run: its provider and model, whoever takes over before a first token, and what they are told.

Of the database it asks what is remembered of the person, once, and more only where something fails or does not fit.
"""

import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

import msgspec
from django.conf import settings
from django.db import Error as DbError

from accounts.models import Workspace
from agents import brain, loop
from agents.brain import BrainUnavailable, Choice
from agents.events import Compacted, MemoriesRecalled, ProviderChanged, Status
from agents.providers import abilities
from agents.providers.base import (
    ChatMessage,
    ChatRequest,
    ContextTooLong,
    ProviderError,
    ProviderSpec,
    ProviderUnauthorized,
    QuotaExhausted,
    Spoken,
    ToolDefinition,
)
from chat import committing, compaction, pictures, transcript
from chat.models import MessageRole
from chat.services import compactions, history, leases, remembering
from chat.services.leases import Claim
from chat.spending import Meter
from chat.transcript import Part
from core import bridge
from core.errors import DomainError
from memory.tools import TELLING

log = logging.getLogger(__name__)

PERSISTENT = (ProviderUnauthorized, QuotaExhausted)
"""What does not go away by itself at one provider, and says nothing of another."""

WITHHELD = "What was recalled here is not told to this provider."
SUMMARIES = 4  # at most, one after another, for one answer: a conversation that was long before any was made
LEAST = 2_000  # characters of the past that are summarised or kept, however small the window

Told = Spoken | ProviderChanged | Compacted | MemoriesRecalled


class Answerer:
    """Asks the model of one attempt at one run; `provider` and `model` are who answers now."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.provider = claim.provider
        self.model = claim.model
        self.meter = Meter(claim)
        self._spec: ProviderSpec | None = None
        self._failed: set[str] = set()
        self._messages = claim.messages
        self._compacted = False  # for the model that answers now
        self._cut = claim.cut
        self._recalled: tuple[ChatMessage, ...] | None = None

    async def turn(self, parts: Sequence[Part], tools: tuple[ToolDefinition, ...]) -> AsyncGenerator[Told]:
        """What the model says now, after the `parts` of its answer so far; raises ProviderError or BrainUnavailable.

        Where the provider fails before its first token, and the workspace allows fallback, the next in line is asked.
        """
        while True:
            spoken = False
            try:
                spec = self._spec = self._spec or await self._find()
                async for event in self._prepare(spec, parts, tools):
                    yield event
                request = await pictures.told(spec, self._request(parts, tools))
                async with aclosing(self.meter.turn(spec, request)) as events:
                    async for event in events:
                        spoken = spoken or not isinstance(event, loop.SILENT)
                        yield event
                return
            except ContextTooLong as error:
                before = self._messages
                if spoken or self._compacted or self._spec is None:
                    raise
                yield Status(label=f"{self.provider}: {error.title}")
                async for event in self._compact(self._spec, compaction.tokens(before) // 2):
                    yield event
                if self._messages is before:
                    raise
            except (ProviderError, BrainUnavailable) as error:
                choice = None if spoken else await self._successor(error, tools)
                if choice is None:
                    raise
                why = f"{self.provider}: {error.title}"
                self._spec, self.provider, self.model = choice.provider, choice.provider.name, choice.model
                self._compacted = False  # its window may be smaller
                yield ProviderChanged(self.provider, self.model, f"{why}; {self.provider} answers with {self.model}")

    def _request(self, parts: Sequence[Part], tools: tuple[ToolDefinition, ...]) -> ChatRequest:
        recalled = self._recalled or ()
        claim, options = self._claim, self._claim.options
        if parts and options.call:  # it has called what it had to
            options = msgspec.structs.replace(options, call="")
        if any(one.name == options.call for one in tools):
            tools = tuple(one for one in tools if one.name == options.call)
        messages = (*self._messages[:-1], *recalled, *self._messages[-1:], *self._later(parts))
        if self._spec and not may_know(self._spec):
            telling = self._telling()
            messages = tuple(_untold(one, telling) for one in messages if not one.recalled)
            tools = tuple(one for one in tools if one.name not in telling)
        return ChatRequest(
            model=self.model,
            messages=messages,
            system=claim.system,
            tools=tools,
            most_tokens=claim.most_tokens,
            options=options,
        )

    def _later(self, parts: Sequence[Part]) -> list[ChatMessage]:
        """What came after the message to answer: what its client quotes of that, and the answer so far."""
        return [*self._claim.after, *transcript.to_messages(parts)]

    async def _prepare(
        self, spec: ProviderSpec, parts: Sequence[Part], tools: tuple[ToolDefinition, ...]
    ) -> AsyncGenerator[Told]:
        """Recall what is remembered of the person, and make all of it fit."""
        async for event in self._recall(spec):
            yield event
        async for event in self._fit(spec, parts, tools):
            yield event

    async def _recall(self, spec: ProviderSpec) -> AsyncGenerator[Told]:
        """Look up what is remembered of the person, once, unless this provider is not to know it."""
        claim = self._claim
        if self._recalled is not None or not may_know(spec) or claim.telling is None:
            return
        try:
            found, anew = await bridge.in_slow_thread(remembering.block, claim)
        except Exception as error:  # an answer without memories is better than none
            if isinstance(error, DbError) and not committing.at_fault(error):
                raise
            log.exception("memories could not be recalled", extra={"run_id": str(claim.run_id)})
            self._recalled = ()
            yield Status(label="what is remembered could not be looked up; the answer goes on without it")
            return
        told = ChatMessage(MessageRole.USER.value, found.text, recalled=True)
        self._recalled = (told,) if found.text else ()
        if found.entries and anew:
            yield MemoriesRecalled([str(one) for one in found.entries])

    def _telling(self) -> frozenset[str]:
        """The tools that tell what is remembered; one of the client's that is called so is another."""
        theirs = {one.name for one in self._claim.client_tools} - {*self._claim.tools}
        return TELLING - theirs

    async def _find(self) -> ProviderSpec:
        claim = self._claim
        return await bridge.in_thread(brain.spec, claim.workspace_id, self.provider, claim.user_id)

    async def _successor(self, error: DomainError, tools: tuple[ToolDefinition, ...]) -> Choice | None:
        """Who answers now that this provider failed, noted with the run; None where nobody may or can."""
        if isinstance(error, ProviderError) and not (error.retryable or isinstance(error, PERSISTENT)):
            return None
        self._failed.add(self.provider)
        needs = {abilities.TOOLS} if tools else set[str]()
        if any(message.images for message in self._messages):
            needs.add(abilities.VISION)
        return await bridge.in_slow_thread(succeed, self._claim, frozenset(self._failed), frozenset(needs))

    async def _fit(
        self, spec: ProviderSpec, parts: Sequence[Part], tools: tuple[ToolDefinition, ...]
    ) -> AsyncGenerator[Told]:
        """Compact the conversation where it does not fit into the model's window, or messages were left out of it."""
        if self._compacted:
            return
        room = None
        if window := abilities.context_window(spec, self.model):
            beside = compaction.tokens(
                [*(self._recalled or ()), *self._later(parts)], self._claim.system, *map(repr, tools)
            )
            room = max(0, int(window * compaction.MARGIN) - beside)
        over = room is not None and compaction.tokens(self._messages) > room
        if over or self._cut:
            async for event in self._compact(spec, room):
                yield event

    async def _compact(self, spec: ProviderSpec, room: int | None) -> AsyncGenerator[Told]:
        """Put a summary in the place of the older part, and leave out what still takes more than `room` tokens."""
        self._compacted, self._cut = True, False
        most = settings.HISTORY_CHARACTERS
        if room is not None:
            most = max(LEAST, min(most, room * compaction.BYTES_PER_TOKEN))
        try:
            async for event in self._summarise(spec, keep=most // 2, most=most):
                yield event
        except ProviderError as error:
            yield Status(label=f"the older messages could not be summarised ({error.title}); they are left out")
        if room is not None and compaction.tokens(self._messages) > room:
            fitting = compaction.newest(self._messages, room)
            if len(fitting) < len(self._messages):
                self._messages = fitting
                yield Status(label="the oldest messages do not fit and are left out")

    async def _summarise(self, spec: ProviderSpec, *, keep: int, most: int) -> AsyncGenerator[Told]:
        """Summarise what is older than the last `keep` characters, `most` at once, and tell of it."""
        claim, done = self._claim, 0
        for _ in range(SUMMARIES):
            part = await bridge.in_thread(compactions.older, claim.run_id, keep_characters=keep, most_characters=most)
            if part is None:
                break
            if not done:
                yield Status(label="the older part of this conversation is being summarised")
            text, usage = await compaction.summary(spec, self.model, part, turn=self.meter.turn)
            if usage:
                yield usage
            names = {"provider": self.provider, "model": self.model}
            await bridge.in_thread(compactions.keep, claim.run_id, claim.attempt, part, text=text, **names)
            done = part.count
            if not part.more:
                break
        else:
            yield Status(label="some older messages are not summarised yet and are left out")
        past = (await bridge.in_thread(history.of, [claim.run_id])).get(claim.run_id)
        if done and past is not None:
            self._messages = (*past.messages, claim.messages[-1])
            yield Compacted(done, self.provider, self.model)


def may_know(spec: ProviderSpec) -> bool:
    """Whether a provider is sent what is remembered of people."""
    return spec.memories and spec.name not in settings.MEMORIES_WITHHELD


def _untold(message: ChatMessage, telling: Collection[str]) -> ChatMessage:
    """The message as a provider is told it that is not to know what a tool recalled."""
    if message.role != "tool" or message.name not in telling:
        return message
    return msgspec.structs.replace(message, content=WITHHELD)


def succeed(claim: Claim, failed: Collection[str], needs: Collection[str]) -> Choice | None:
    """Who answers in place of those that failed, stored with the run; None where nobody may, or it is not ours."""
    workspace = Workspace.objects.filter(pk=claim.workspace_id).first()
    choice = brain.instead(workspace, of=failed, needs=needs, user_id=claim.user_id) if workspace else None
    if choice is None or not leases.hand_over(claim.run_id, claim.attempt, choice.provider.name, choice.model):
        return None
    return choice
