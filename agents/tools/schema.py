"""The JSON Schema of a tool's parameters, made from its signature or given, and arguments held against it."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, get_type_hints

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from agents.tools import foreign
from core import digest
from core.errors import FieldError, Invalid

SECRET = msgspec.Meta(extra_json_schema={"writeOnly": True})
"""In an `Annotated` parameter: its value is a secret, which no log, page or audit row may show."""

MOST_ERRORS = 10
MOST_FOUND = 100  # errors of which the first ones are told
LARGEST = 100_000  # bytes of one call's arguments
MOST_CHOICES = 100  # names that a schema lists
LONGEST_NAME = 60
LONGEST_VALUE = 300
_WORDS = {
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "pattern": "must match {}",
    "anyOf": "must be of type {}",
}


class Checks(Protocol):
    """What tells of arguments where they do not fit."""

    def iter_errors(self, arguments: Any, /) -> Iterable[ValidationError]:
        """The errors."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a tool takes: as a JSON Schema for models, and as a type that arguments are converted to, if it has one."""

    parameters: dict[str, Any]
    secrets: frozenset[str]
    validator: Checks
    type: type[msgspec.Struct] | None

    def convert(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Checked arguments as the function takes them: whole numbers as int, defaults filled in."""
        if self.type is None:
            return dict(arguments)
        return msgspec.structs.asdict(msgspec.convert(arguments, self.type, strict=False))

    def check(self, arguments: Any) -> dict[str, Any]:
        """The arguments; raises Invalid with each field that does not fit, never with a field's value."""
        if not isinstance(arguments, dict):
            raise Invalid(
                "The arguments must be a JSON object.", errors=[FieldError("", "invalid", "must be an object")]
            )
        if len(digest.canonical(arguments)) > LARGEST:
            raise Invalid(f"The arguments are over {LARGEST:,} bytes.")
        found = islice(self.validator.iter_errors(arguments), MOST_FOUND)
        errors = list(dict.fromkeys(told for one in found for told in _told(one, arguments)))
        with_nul = [path for path in _with_nul(arguments) if path or not errors]
        errors += [FieldError(path, "invalid", "must not contain NUL") for path in with_nul]
        if errors:
            errors = sorted(errors, key=lambda one: one.field)[:MOST_ERRORS]
            raise Invalid(" ".join(f"{one.field or 'arguments'}: {one.message}." for one in errors), errors=errors)
        return arguments


def of(function: Callable[..., Any]) -> Signature:
    """The signature of a tool's function after its context; raises TypeError for a type that has no plain schema."""
    hints = get_type_hints(function, include_extras=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{function.__name__}: {name} must be a plain parameter.")
        if parameter.default is parameter.empty:
            fields.append((name, hints[name]))
        else:
            fields.append((name, hints[name], parameter.default))
    struct = msgspec.defstruct(function.__name__, fields, kw_only=True, forbid_unknown_fields=True)
    _, components = msgspec.json.schema_components([struct])
    if len(components) != 1:
        raise TypeError(f"{function.__name__}: parameters are plain types and lists of them.")
    properties = {name: _tidied(one) for name, one in components[struct.__name__]["properties"].items()}
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required := components[struct.__name__].get("required"):
        parameters["required"] = required
    Draft202012Validator.check_schema(parameters)
    secrets = frozenset(name for name, one in properties.items() if one.get("writeOnly"))
    return Signature(parameters, secrets, Draft202012Validator(parameters), struct)


def given(parameters: dict[str, Any]) -> Signature:
    """The signature of a tool whose JSON Schema comes from outside; arguments stay as they are. Raises Invalid."""
    told, validator = foreign.read(parameters)
    secrets = {name for name, one in told["properties"].items() if _hides(one)}
    return Signature(told, frozenset(secrets), validator, None)


def _hides(one: Any) -> bool:
    """Whether a schema, or any in it, says that its value is a secret."""
    if isinstance(one, list):
        return any(map(_hides, one))
    return isinstance(one, dict) and (one.get("writeOnly") is True or any(map(_hides, one.values())))


def narrowed(parameters: dict[str, Any], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The schema with these parameters limited to the names that exist, where they are few enough to be listed."""
    properties = dict(parameters["properties"])
    for name, values in choices.items():
        if not 0 < len(values) <= MOST_CHOICES:
            continue
        optional = any(one.get("type") == "null" for one in properties[name].get("anyOf", ()))
        kept = {key: value for key, value in properties[name].items() if key not in ("type", "anyOf", "enum")}
        plain = {"type": "string", "enum": list(values)}
        properties[name] = {**({"anyOf": [plain, {"type": "null"}]} if optional else plain), **kept}
    return {**parameters, "properties": properties}


def _tidied(one: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema; an enum of texts says that it is text, without which some providers refuse it."""
    if "anyOf" in one:
        one = {**one, "anyOf": [_tidied(inner) for inner in one["anyOf"]]}
    if "enum" in one and all(isinstance(value, str) for value in one["enum"]):
        one = {"type": "string", **one}
    return one


def _told(found: ValidationError, arguments: dict[str, Any]) -> Iterator[FieldError]:
    """What does not fit, in words that repeat no value: it may be a secret, or as long as a book."""
    match found.validator:
        case "required" if not found.absolute_path:
            missing = (name for name in found.validator_value if name not in arguments)
            yield from (FieldError(name, "required", "is missing") for name in missing)
        case "additionalProperties" if not found.absolute_path:
            known = found.schema.get("properties", {})
            for name in (name for name in arguments if name not in known):
                shown = "".join(c if c.isprintable() else "?" for c in name[:LONGEST_NAME])
                yield FieldError(shown, "unknown", "is not a parameter of this tool")
        case _:
            cause = best_match([found]) or found
            words = _WORDS.get(str(cause.validator), f"does not fit the tool's schema ({cause.validator})")
            path = ".".join(str(part)[:LONGEST_NAME] for part in found.absolute_path)
            yield FieldError(path, "invalid", words.format(_listed(cause.validator_value)))


def _listed(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)[:LONGEST_VALUE]
    shown = (str(one["type"]) if isinstance(one, dict) and "type" in one else str(one) for one in value)
    return ", ".join(shown)[:LONGEST_VALUE]


def _with_nul(value: Any, path: str = "") -> Iterator[str]:
    """The paths of texts and names with a NUL, which the database does not keep."""
    if isinstance(value, str):
        if "\x00" in value:
            yield path
        return
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, one in inner:
        if isinstance(key, str) and "\x00" in key:
            yield path
            continue
        yield from _with_nul(one, f"{path}.{key}" if path else str(key))
