"""The tools there are: functions of any app's `tools` module that the decorator has registered, and workspaces' own.

A tool's function takes a Context and then plainly typed parameters. Its docstring is what models read of it, its name
is the tool's. A tool that changes anything reports honestly by what it raises: ToolFailed where nothing happened and
nothing will by trying again, NotSent where trying again cannot double anything, MaybeSent where nobody knows.
"""

import asyncio
import hashlib
import inspect
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import msgspec

from agents.models import ToolSetting
from agents.providers.base import ToolDefinition
from agents.tools import schema
from agents.tools.schema import SECRET, Signature
from approvals.models import Risk
from core import bridge, digest
from core.errors import DomainError, Invalid

__all__ = ["SECRET", "Context", "MaybeSent", "NotSent", "Preview", "Retry", "Risk", "ToolFailed", "ToolResult", "tool"]

MOST_CONTENT = 20_000  # characters of a result that a model is told
MOST_SUMMARY = 300
KEPT_SECONDS = 5.0  # how long what parameters can be is known
MOST_KEPT = 10_000
MOST_PREVIEWED = 200  # lines of a preview's lists
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}$")

F = TypeVar("F", bound=Callable[..., Any])
Narrow = Callable[[UUID], Mapping[str, Sequence[str]]]
Source = Callable[[UUID], "Mapping[str, ToolSpec]"]
"""A workspace's own tools, by name; called for every lookup, so it remembers them."""


class Retry(StrEnum):
    """What another attempt with the same key does: the same state, nothing more, or nobody knows what."""

    IDEMPOTENT = "idempotent"
    KEYED = "keyed"
    UNKNOWN = "unknown"


def _unnoted(memories: Sequence[UUID]) -> None:
    """Where no run asks, nobody notes what was recalled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a tool is told of its call: `key` is the idempotency key, the same in every attempt.

    While a call is judged, `heard` gives the texts that an agent may have an address from without asking. While it
    runs, `place` is where its tool reached when it was judged, `message_id` the message that it is made in answer to,
    and `recalled` notes the memories that it tells a model with the run, in the caller's transaction.
    """

    workspace_id: UUID
    key: str
    attempt: int = 0
    person_id: UUID | None = None
    agent_id: UUID | None = None
    companion_id: UUID | None = None
    conversation_id: UUID | None = None
    message_id: UUID | None = None
    heard: Callable[[], Iterable[str]] = tuple
    recalled: Callable[[Sequence[UUID]], None] = _unnoted
    place: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call: `content` for the model, `summary` for people."""

    content: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class HandedOn:
    """The call goes on elsewhere, and whoever goes on with it stores what comes of it."""


class Change(msgspec.Struct, frozen=True):
    """One thing that a call would change, as it is now and as it would be."""

    what: str
    before: str
    after: str


class Preview(msgspec.Struct, frozen=True):
    """What a manager reads before deciding: plain text only; `diff` is None where nothing can be said of it."""

    sentence: str
    diff: list[Change] | None = None
    recipients: list[str] = msgspec.field(default_factory=list)
    amount: str | None = None
    details: dict[str, str] = msgspec.field(default_factory=dict)


class ToolError(DomainError):
    """A tool did not do what it was asked; `detail` says why, to models and people."""

    status: ClassVar[int] = 502


class ToolFailed(ToolError):
    """Definite: nothing happened, and the same call would fail again."""

    code = "tool_failed"
    title = "The tool failed"


class NotSent(ToolError):
    """Nothing was sent: the same call can be made again without doubling anything."""

    code = "not_sent"
    title = "The tool could not be reached"


class MaybeSent(ToolError):
    """The call may have had its effect, or not: nobody knows."""

    code = "maybe_sent"
    title = "The outcome of the tool is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool. `version` changes with its name, its schema and the version that it declares.

    `validate` and `preview` take a context and the parameters, `narrow` takes a workspace's id and gives the values
    that parameters can have there. `risk` is the highest that a call can have; `risk_of` takes a context and the
    parameters, and says of a call that it has less. Where `available` says no of a workspace, its models are not
    offered the tool. `where` takes a workspace's id and says what the tool reaches there, and as whom, without secrets:
    that is a part of its version in this workspace, and its `place`.
    """

    name: str
    title: str
    description: str
    risk: Risk
    retry: Retry
    version: str
    timeout: float
    signature: Signature = field(repr=False)
    run: Callable[..., Any]
    validate: Callable[..., None] | None = None
    preview: Callable[..., Preview] | None = None
    narrow: Narrow | None = None
    risk_of: Callable[..., Risk] | None = None
    available: Callable[[UUID], bool] | None = None
    where: Callable[[UUID], str] | None = None
    place: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.signature.parameters

    @property
    def secrets(self) -> frozenset[str]:
        """The parameters whose values are secrets."""
        return self.signature.secrets


_registered: dict[str, list[ToolSpec]] = {}
_sources: list[Source] = []
_narrowed: dict[tuple[Narrow, UUID], tuple[float, Mapping[str, Sequence[str]]]] = {}


def tool(
    *,
    risk: Risk | str,
    retry: Retry | str,
    timeout: float = 30.0,
    version: int = 1,
    title: str = "",
    validate: Callable[..., None] | None = None,
    preview: Callable[..., Preview] | None = None,
    narrow: Narrow | None = None,
    risk_of: Callable[..., Risk] | None = None,
    available: Callable[[UUID], bool] | None = None,
    where: Callable[[UUID], str] | None = None,
) -> Callable[[F], F]:
    """Register a function, sync or async, as a tool; raises TypeError or ValueError where it cannot be one."""

    def register(function: F) -> F:
        name, signature = function.__name__, schema.of(function)
        description = inspect.cleandoc(function.__doc__ or "")
        if not _NAME.match(name) or not description:
            raise ValueError(f"The tool {name!r} needs a name of a-z, 0-9 and _, and a docstring.")
        identity = {"name": name, "parameters": signature.parameters, "version": version}
        spec = ToolSpec(
            name=name,
            title=title or name.replace("_", " ").capitalize(),
            description=" ".join(description.split()),
            risk=Risk(risk),
            retry=Retry(retry),
            version=hashlib.sha256(digest.canonical(identity)).hexdigest(),
            timeout=timeout,
            signature=signature,
            run=function,
            validate=validate,
            preview=preview,
            narrow=narrow,
            risk_of=risk_of,
            available=available,
            where=where,
        )
        _registered.setdefault(name, []).append(spec)
        return function

    return register


def source(found: Source) -> Source:
    """Register where workspaces have tools of their own."""
    _sources.append(found)
    return found


def get(name: str, workspace_id: UUID | None = None) -> ToolSpec | None:
    """The tool that this name means in a workspace, in the version that it has there."""
    spec = _named(name, workspace_id)
    if spec is None or spec.where is None or workspace_id is None:
        return spec
    place = spec.where(workspace_id)
    version = hashlib.sha256(digest.canonical({"version": spec.version, "place": place})).hexdigest()
    return replace(spec, version=version, place=place)


def _named(name: str, workspace_id: UUID | None) -> ToolSpec | None:
    """A function's before one of the workspace's own."""
    if found := _registered.get(name):
        return found[0]
    if workspace_id is None:
        return None
    return next((spec for one in _sources if (spec := one(workspace_id).get(name))), None)


def names(workspace_id: UUID | None = None) -> list[str]:
    """The names of the tools that are functions, and of the workspace's own, sorted."""
    own = () if workspace_id is None else (name for one in _sources for name in one(workspace_id))
    return sorted({*_registered, *own})


def check_names(field: str, wanted: Iterable[str], workspace_id: UUID | None, *, kept: Iterable[str] = ()) -> None:
    """Raises Invalid where a wanted tool is none of the workspace's; those that were kept before may be gone by now."""
    there = names(workspace_id)
    if unknown := sorted({*wanted} - {*there} - {*kept}):
        shown = ", ".join(there)[:1_000]
        raise Invalid.field(field, f"there is no tool {unknown[0][:64]!r}; there is {shown}", "unknown_tool")


def doubled() -> list[str]:
    """The names that more than one function claims."""
    return sorted(name for name, found in _registered.items() if len(found) > 1)


def offered(
    workspace_id: UUID, wanted: Sequence[str], *, off: Collection[str] | None = None
) -> tuple[ToolDefinition, ...]:
    """Those of the wanted tools that exist and are switched on, as a model of this workspace is offered them.

    `off` are those that are not switched on, where the caller knows them.
    """
    if off is None:
        off = set(ToolSetting.objects.filter(workspace_id=workspace_id, enabled=False).values_list("tool", flat=True))
    specs = [spec for name in dict.fromkeys(wanted) if name not in off and (spec := _named(name, workspace_id))]
    specs = [spec for spec in specs if spec.available is None or spec.available(workspace_id)]
    return tuple(_definition(spec, _choices(spec.narrow, workspace_id) if spec.narrow else {}) for spec in specs)


def _choices(narrow: Narrow, workspace_id: UUID) -> Mapping[str, Sequence[str]]:
    """What parameters can be, looked up every few seconds at most: a call is held against the world anyway."""
    kept = _narrowed.get((narrow, workspace_id))
    if kept is None or kept[0] < time.monotonic():
        kept = time.monotonic() + KEPT_SECONDS, narrow(workspace_id)
        if len(_narrowed) >= MOST_KEPT:
            _narrowed.clear()
        _narrowed[narrow, workspace_id] = kept
    return kept[1]


def _definition(spec: ToolSpec, choices: Mapping[str, Sequence[str]]) -> ToolDefinition:
    known = {name: values for name, values in choices.items() if name in spec.parameters["properties"]}
    parameters = schema.narrowed(spec.parameters, known) if known else spec.parameters
    return ToolDefinition(spec.name, spec.description, parameters)


def check(spec: ToolSpec, arguments: Any) -> dict[str, Any]:
    """The arguments, once they fit the tool's schema; raises Invalid with each field that does not."""
    return spec.signature.check(arguments)


def validate(spec: ToolSpec, arguments: Mapping[str, Any], context: Context) -> None:
    """Hold checked arguments against the world; raises Invalid, in words that say what would do."""
    if spec.validate is not None:
        spec.validate(context, **spec.signature.convert(arguments))


def risk(spec: ToolSpec, arguments: Mapping[str, Any], context: Context) -> Risk:
    """The risk of a call with checked arguments."""
    return spec.risk if spec.risk_of is None else spec.risk_of(context, **spec.signature.convert(arguments))


def preview(spec: ToolSpec, arguments: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """What a manager reads of a call, as JSON; a tool without a preview is named with its arguments' names."""
    if spec.preview is not None:
        found = spec.preview(context, **spec.signature.convert(arguments))
    else:
        given = f" with {', '.join(arguments)}" if arguments else ""
        found = Preview(f"Run “{spec.title}”{given}.")
    return _shown(msgspec.to_builtins(found))  # type: ignore[no-any-return]


async def execute(spec: ToolSpec, arguments: Mapping[str, Any], context: Context) -> ToolResult | HandedOn:
    """Run the tool with checked arguments and give its result, bounded; raises ToolError.

    Anything else that comes out of it is a fault of the tool, after which nobody knows what happened. A synchronous
    function that runs out of time goes on in its thread, and its outcome is unknown as well.
    """
    given, context = spec.signature.convert(arguments), replace(context, place=spec.place)
    try:
        async with asyncio.timeout(spec.timeout):
            if inspect.iscoroutinefunction(spec.run):
                result = await spec.run(context, **given)
            else:
                result = await bridge.in_slow_thread(spec.run, context, **given)
    except TimeoutError:
        raise MaybeSent(f"{spec.title} has not ended within {spec.timeout:g} seconds.") from None
    except ToolError:
        raise
    except DomainError as refusal:
        raise ToolFailed(refusal.detail) from refusal
    return result if isinstance(result, HandedOn) else bounded(result)


def bounded(result: ToolResult) -> ToolResult:
    """A result that can be stored and told to a model, which is told where it was cut."""
    content = _storable(result.content)
    if len(content) > MOST_CONTENT:
        note = f"\n[cut: these are the first {MOST_CONTENT:,} of {len(content):,} characters]"
        content = content[:MOST_CONTENT] + note
    summary = " ".join(_storable(result.summary or content[:MOST_SUMMARY]).split())
    if len(summary) > MOST_SUMMARY:
        summary = summary[: MOST_SUMMARY - 1] + "…"
    return ToolResult(content, summary)


def _shown(value: Any) -> Any:
    """A preview that can be stored, its texts short: some of them come from outside."""
    if isinstance(value, dict):
        return {_shown(key): _shown(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shown(one) for one in value[:MOST_PREVIEWED]]
    return _storable(value[:MOST_CONTENT]) if isinstance(value, str) else value


def _storable(text: str) -> str:
    """The text without what the database refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
