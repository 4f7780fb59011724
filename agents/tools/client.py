"""Tools that come with a message: whoever sent it makes their calls and brings the results; nothing of them runs here.

What is kept of one is {name, description, parameters}, with a JSON Schema that is held to the bounds of all that others
wrote.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from agents.providers.base import ToolDefinition
from agents.tools import foreign, outside, registry, schema
from agents.tools.registry import Retry, Risk, ToolFailed, ToolResult, ToolSpec
from core import digest
from core.errors import FieldError, Invalid

MOST = 64
LARGEST = 64_000  # bytes of all definitions of a message, which models are told in every request
LONGEST_DESCRIPTION = 4_000
NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}
# Ours and those of other APIs' clients, as all model providers take them.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

Definition = dict[str, Any]


def read(definitions: Sequence[Mapping[str, Any]], workspace_id: UUID) -> list[Definition]:
    """The definitions as they are kept; raises Invalid, which names each by its place, such as `tools.0.name`."""
    if len(definitions) > MOST:
        raise Invalid.field("tools", f"are over {MOST}; send those that this message needs", "max_length")
    if len(msgspec.json.encode(definitions)) > LARGEST:
        raise Invalid.field("tools", f"are over {LARGEST:,} bytes together", "max_length")
    found: dict[str, Definition] = {}
    for place, one in enumerate(definitions):
        name = one["name"]
        _check_name(name, f"tools.{place}.name", found, workspace_id)
        try:
            parameters, _ = foreign.read(one.get("parameters", NO_PARAMETERS))
        except Invalid as error:
            errors = [FieldError(f"tools.{place}.{part.field}", part.code, part.message) for part in error.errors]
            raise Invalid(f"tools.{place}.{error.detail}", errors=errors) from None
        found[name] = {"name": name, "description": one.get("description", ""), "parameters": parameters}
    return list(found.values())


def _check_name(name: str, field: str, before: Iterable[str], workspace_id: UUID) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid.field(field, "must be up to 64 of A-Z a-z 0-9 _ -, and begin with a letter or _")
    if name in before:
        raise Invalid.field(field, "stands twice; give each tool a name of its own", "duplicate")
    if registry.get(name.lower(), workspace_id) is not None:
        raise Invalid.field(field, "is the name of a tool that runs on the server; call yours otherwise", "name_taken")


def offered(definitions: Iterable[Definition]) -> tuple[ToolDefinition, ...]:
    """The definitions as a model is offered them."""
    return tuple(ToolDefinition(**one) for one in definitions)


def spec(definition: Definition) -> ToolSpec:
    """The tool as the gate judges its calls: what it does to the world it does at the client's, so here it only reads.

    Raises Invalid for a definition that did not come by `read`.
    """
    return ToolSpec(
        name=definition["name"],
        title=definition["name"],
        description=definition["description"],
        risk=Risk.READ,
        retry=Retry.UNKNOWN,
        version=hashlib.sha256(digest.canonical({"client": definition})).hexdigest(),
        timeout=1.0,
        signature=schema.given(definition["parameters"]),
        run=_refuse,
    )


def _refuse(*_: Any, **__: Any) -> ToolResult:
    raise ToolFailed("The client makes the calls of this tool, not the server.")


def result(name: str, output: Any) -> ToolResult:
    """What a client says came of its call, bounded and marked as data."""
    told = outside.plain(output) if isinstance(output, str) else output
    shown = told if isinstance(told, str) else msgspec.json.encode(told).decode()
    content = outside.marked(f"Result of {name}, which the client ran", output=told)
    return registry.bounded(ToolResult(content, outside.line(f"{name}: {shown}", registry.MOST_SUMMARY)))
