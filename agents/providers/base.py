"""What every provider speaks: requests in, deltas out, and the errors that can come instead."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import msgspec

from agents.events import ReasoningDelta, Status, TextDelta, Usage
from core.errors import DomainError


class ToolDefinition(msgspec.Struct, frozen=True):
    """A tool that a model is offered; `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolCall(msgspec.Struct, frozen=True):
    """A call that a model asked for; `arguments` is None where `raw` is not a JSON object."""

    call_id: str
    name: str
    arguments: dict[str, Any] | None
    raw: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What a provider must be told again with the calls that it asked for, such as thoughts that it has signed.

    It comes before those calls, is JSON that nobody else reads, and is handed to the provider of that name alone, while
    that is still of the same kind.
    """

    provider: str
    data: Any
    kind: str = ""


class Image(msgspec.Struct, frozen=True):
    """A picture, as base64 of the media type's bytes: image/png, image/jpeg, image/webp or image/gif.

    Until it is read in, `source` names where it is and `data` is empty; no provider is given such a one.
    """

    media_type: str
    data: str
    source: str = ""


class ChatMessage(msgspec.Struct, frozen=True):
    """One entry of the conversation; `role` is system, user, assistant or tool.

    An assistant's entry may carry calls, and what was kept with them; a tool's entry answers the call of `call_id`; a
    user's entry may carry images, which come before its text. One that is `recalled` was not said by the user: it is
    what is remembered of them, told as data.
    """

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    name: str = ""
    kept: Kept | None = None
    images: tuple[Image, ...] = ()
    recalled: bool = False

    def kept_for(self, spec: "ProviderSpec") -> Any:
        """What was kept for this very provider; None for any other."""
        return self.kept.data if self.kept and (self.kept.provider, self.kept.kind) == (spec.name, spec.kind) else None


ANY_TOOL = "*"


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a model is to answer; what is None or empty is left to it, and so is what its service has no word for.

    `call` names the tool that it must call; ANY_TOOL: one of those that it is offered.
    """

    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    call: str = ""


class ChatRequest(msgspec.Struct, frozen=True):
    """What a model is asked: the system prompt, then the conversation, oldest first, and the tools it may call.

    `most_tokens` limits the answer, thoughts and calls among it; None: the model's own limit does.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    system: str = ""
    tools: tuple[ToolDefinition, ...] = ()
    most_tokens: int | None = None
    options: Options = Options()


Spoken = TextDelta | ReasoningDelta | Status | Usage | Kept | ToolCall


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """A provider that is set up: how to reach it, what it has, how long to wait for it."""

    name: str
    kind: str
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    model_names: tuple[str, ...] = ()
    default_model: str = ""
    any_model: bool = False
    priority: int = 100
    connect_seconds: float = 5.0
    first_token_seconds: float = 60.0
    between_tokens_seconds: float = 30.0
    offline: bool = False  # asks no model: never counts as a provider that answers in another's place
    preset: str = ""  # a name of `presets`; empty: by the address
    memories: bool = True  # whether it is sent what is remembered of people
    own_key: bool = False  # the key is a person's own, who pays for what is asked with it
    guarded: bool = False  # each connection to its address is vetted: who set it need not know the network


class ProviderError(DomainError):
    """The provider failed; `detail` carries its own words, with secrets taken out.

    `retryable`: the same request may succeed later. `before_first_token`: nothing was said, so it can be sent again
    unnoticed. `retry_after`: seconds that the provider asks to wait.
    """

    code: ClassVar[str] = "provider_error"
    status: ClassVar[int] = 502
    title: ClassVar[str] = "The model provider failed"
    passing: ClassVar[bool] = False  # whether this kind of failure tends to go away by itself

    def __init__(self, detail: str = "", *, retryable: bool | None = None, retry_after: float | None = None) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        super().__init__(detail, headers=headers)
        self.retryable = self.passing if retryable is None else retryable
        self.retry_after = retry_after
        self.before_first_token = True


class ProviderUnauthorized(ProviderError):
    """The provider refuses the key."""

    code = "provider_unauthorized"
    title = "The model provider refused the key"


class UnknownModel(ProviderError):
    """No provider has a model of this name."""

    code = "unknown_model"
    status = 404
    title = "There is no such model"


class ProviderRateLimited(ProviderError):
    """The provider asks for patience."""

    code = "provider_rate_limited"
    status = 429
    title = "The model provider is rate limiting"
    passing = True


class QuotaExhausted(ProviderError):
    """The account at the provider has nothing left: waiting does not help."""

    code = "provider_quota_exhausted"
    status = 429
    title = "The quota at the model provider is used up"


class ProviderUnavailable(ProviderError):
    """The provider does not answer, or says that it cannot now."""

    code = "provider_unavailable"
    status = 503
    title = "The model provider is not available"
    passing = True


class StreamCut(ProviderError):
    """The provider's stream ended before the answer did."""

    code = "stream_cut"
    title = "The model provider's stream was cut"
    passing = True


class StreamMalformed(ProviderError):
    """The provider's stream is not in its own format."""

    code = "stream_malformed"
    title = "The model provider's stream cannot be read"
    passing = True


class FirstTokenTimeout(ProviderError):
    """The provider took the request and said nothing in time."""

    code = "first_token_timeout"
    status = 504
    title = "The model did not begin to answer in time"
    passing = True


class Stalled(ProviderError):
    """The provider fell silent in the middle of its answer."""

    code = "stalled"
    status = 504
    title = "The model fell silent in the middle of its answer"
    passing = True


class ContextTooLong(ProviderError):
    """What the model was told does not fit into its window."""

    code = "context_too_long"
    status = 400
    title = "The conversation is too long for the model"


class AnswerTooLong(ProviderError):
    """The answer went over the limit of one answer."""

    code = "answer_too_long"
    title = "The answer is too long"


class TurnTooLong(ProviderError):
    """The turn went over its wall time."""

    code = "turn_too_long"
    status = 504
    title = "The answer took too long"


PASSING = frozenset(kind.code for kind in ProviderError.__subclasses__() if kind.passing)
"""The codes of failures that tend to go away by themselves."""


class Provider(Protocol):
    """One wire format: our request into theirs, their stream into our deltas."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[Spoken]:
        """The answer as it is spoken, its usage last where it is told; raises ProviderError."""
        ...

    async def list_models(self) -> list[str]:
        """The names of the models that the provider offers, empty where it does not tell; raises ProviderError."""
        ...
