"""JSON Schemas that others wrote, held to bounds, and arguments held against them within bounds.

Nothing is fetched, and no expression of theirs is run: Python's engine takes exponential time for some. What models are
told keeps their patterns; where a schema has any, what a pattern could turn round is left to whoever runs the tool.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, cast

import msgspec
from jsonschema import Draft7Validator, Draft201909Validator, Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from core.errors import Invalid

LARGEST = 64_000  # bytes of a schema, which models are told in every request
DEEPEST = 40
MOST_NODES = 5_000
MOST_PARAMETERS = 100
MOST_STEPS = 20_000  # keywords that are looked at for one call: a fifth of a second
MOST_UNIQUE = 1_000  # items that are compared with one another
MOST_REFERRED = 4 * MOST_NODES  # parts that references lead to
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # as all model providers take them
_DRAFTS = {
    "http://json-schema.org/draft-07/schema": Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}
_LATEST = "https://json-schema.org/draft/2020-12/schema"

_left: ContextVar[list[int]] = ContextVar("left")


class Bounded:
    """A validator that ends: it raises Invalid for arguments that take too many steps."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator

    def iter_errors(self, arguments: Any) -> Iterator[ValidationError]:
        """What does not fit."""
        token = _left.set([MOST_STEPS])
        try:
            found = list(self._validator.iter_errors(arguments))
        except RecursionError:
            raise Invalid("The arguments, or the tool's schema, are nested too deeply.") from None
        finally:
            _left.reset(token)
        yield from found


def read(parameters: Any) -> tuple[dict[str, Any], Bounded]:
    """A schema as models are told it, and what holds arguments against it; raises Invalid with what is wrong."""
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        raise Invalid.field("parameters", 'must be a JSON Schema with "type": "object"')
    draft = str(parameters.get("$schema", _LATEST)).rstrip("#")
    kind = _DRAFTS.get(draft)
    if kind is None:
        raise Invalid.field("parameters", "must be a JSON Schema of draft 7, 2019-09 or 2020-12")
    told = _bounded(parameters)
    properties = told.setdefault("properties", {})
    try:
        kind.check_schema(told, format_checker=None)
        _look_up(told, draft, kind)
    except SchemaError as error:
        raise _bad(error) from None
    except RecursionError:
        raise Invalid.field("parameters", "are nested too deeply") from None
    if len(properties) > MOST_PARAMETERS:
        raise Invalid.field("parameters", f"are over {MOST_PARAMETERS}")
    for name in properties:
        if not _NAME.fullmatch(name):
            raise Invalid.field("parameters", f"{name[:60]!r} is no name of up to 64 of A-Z a-z 0-9 _ . -")
    return told, Bounded(_validator(kind, told))


def _bounded(parameters: dict[str, Any]) -> dict[str, Any]:
    """A copy of the schema, of JSON alone; raises Invalid where it is too large, or points outside."""
    nodes = 0

    def copied(value: Any, depth: int) -> Any:
        nonlocal nodes
        nodes += 1
        if nodes > MOST_NODES or depth > DEEPEST:
            raise Invalid.field("parameters", f"are over {MOST_NODES:,} parts, or nested over {DEEPEST} deep")
        if isinstance(value, list):
            return [copied(one, depth + 1) for one in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise Invalid.field("parameters", "must be JSON")
        if not isinstance(value, dict):
            return value
        # A schema inside that names a draft or a base of its own would be held against another validator than ours.
        return {
            key: copied(one, depth + 1)
            for key, one in value.items()
            if not (key in ("$schema", "$id", "id", "$anchor", "$dynamicAnchor") and isinstance(one, str))
        }

    told = copied(parameters, 0)
    try:
        raw = msgspec.json.encode(told)
        raw.decode()
    except (TypeError, ValueError, OverflowError):
        raise Invalid.field("parameters", "must be JSON") from None
    if len(raw) > LARGEST or b"\\u0000" in raw:
        raise Invalid.field("parameters", f"are over {LARGEST:,} bytes, or hold NUL")
    return cast(dict[str, Any], told)


def _look_up(told: dict[str, Any], draft: str, kind: type[Validator]) -> None:
    """Follow each reference once; raises Invalid for one that leads outside, or to what is no schema."""
    specification = specification_with(draft)
    resolver = Registry[Any]().with_resource("", specification.create_resource(told)).resolver()
    seen, left = set[int](), MOST_REFERRED
    for reference in set(_references(told)):
        if not reference.startswith("#"):
            raise Invalid.field("parameters", "refer to another document, which is never fetched; put it into $defs")
        try:
            target = resolver.lookup(reference).contents
        except (Unresolvable, ValueError, TypeError, LookupError):
            raise Invalid.field("parameters", f"the reference {reference[:60]!r} leads nowhere") from None
        if id(target) in seen:
            continue
        seen.add(id(target))
        left -= _size(target)
        if left < 0:
            raise Invalid.field("parameters", f"refer to over {MOST_REFERRED:,} parts")
        kind.check_schema(target, format_checker=None)


def _size(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(one, str):
                yield one
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def _bad(error: SchemaError) -> Invalid:
    """What is wrong with a schema, in our words: those of the library repeat it all."""
    path = ".".join(str(part)[:60] for part in list(error.absolute_path)[:10])
    where = f" at {path}" if path else ""
    return Invalid.field("parameters", f"are no valid JSON Schema{where} ({error.validator})")


def _validator(kind: type[Validator], told: dict[str, Any]) -> Validator:
    counted = {name: _counted(name, check) for name, check in kind.VALIDATORS.items()}
    unique = counted["uniqueItems"]
    counted["uniqueItems"] = lambda *given: unique(*given) if _few(given[2]) else None
    if b'"pattern' in msgspec.json.encode(told):
        passed = "pattern", "patternProperties", "not", "if", "unevaluatedProperties", "unevaluatedItems"
        counted |= dict.fromkeys(passed, _passed)
        counted["oneOf"] = counted["anyOf"]
        counted["additionalProperties"] = _additional(counted["additionalProperties"])
    return cast(Validator, validators.extend(kind, counted)(told, registry=Registry()))


def _counted(name: str, check: Callable[..., Any]) -> Callable[..., Any]:
    weights = dict[int, int]()  # by id: a keyword's value lives as long as its schema

    def counting(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if id(value) not in weights:
            weights[id(value)] = _weight(name, value)
        _spend(weights[id(value)])
        if name == "uniqueItems" and value is True and isinstance(instance, list):
            _spend(_comparing(instance))
        for error in check(validator, value, instance, schema) or ():
            _spend(1 + len(error.message) // 100)  # it repeats the value that does not fit
            yield error

    return counting


def _weight(name: str, value: Any) -> int:
    """What a look at a keyword costs, of which some go through all that they hold."""
    if name in ("enum", "const", "required", "dependentRequired", "dependencies"):
        return 1 + len(msgspec.json.encode(value)) // 100
    return 1 + len(value) // 20 if isinstance(value, dict | list) else 1


def _comparing(items: list[Any]) -> int:
    """What it costs to look for twins: texts are sorted, all else is compared with all else."""
    if all(isinstance(one, str) for one in items):
        return len(items) // 20
    return len(items) * len(msgspec.json.encode(items)) // 200


def _spend(steps: int) -> None:
    left = _left.get()
    left[0] -= steps
    if left[0] < 0:
        raise Invalid("The arguments take too many steps to be held against the tool's schema. Send fewer.")


def _few(instance: Any) -> bool:
    return not isinstance(instance, list) or len(instance) <= MOST_UNIQUE


def _passed(*_: Any) -> None:
    """A keyword that is told to models and not looked at."""


def _additional(check: Callable[..., Any]) -> Callable[..., Any]:
    def looked(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Any:
        return None if "patternProperties" in schema else check(validator, value, instance, schema)

    return looked
