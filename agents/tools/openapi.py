"""OpenAPI 3.0 and 3.1 documents as descriptions of tools: one for each operation.

Read by hand rather than by a validator of whole documents: what counts is each operation, and most documents in use
break a rule of the specification somewhere else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import msgspec
import yaml

from agents.tools import foreign
from core import guarded, jsonbody
from core.errors import Invalid

LARGEST = 1_000_000  # bytes of a document
MOST_OPERATIONS = 200
DEEPEST = 60
MOST_HOPS = 20  # from a reference to what it means
MOST_PARAMETERS = 100  # of an operation, those of its path among them
LONGEST_NAME = 200  # of a parameter, on the wire
_NUMBER = re.compile(r"[-+0-9:_.,]{300,}")  # YAML reads 1:1:1 as a number of base 60, in quadratic time
METHODS = ("get", "head", "put", "post", "patch", "delete")
SAID = ("accept", "authorization", "content-type", "idempotency-key")  # headers that are not the model's to say
_BAD = re.compile(r"[^A-Za-z0-9_.-]+")
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_LONG = f"The address of its server has over {guarded.LONGEST_LINK:,} characters."
_DROPPED = ("example", "examples", "xml", "externalDocs", "discriminator", "deprecated", "readOnly")


@dataclass(frozen=True, slots=True)
class Proposal:
    """An operation as what `services.tools.create` takes; `needs` are the secrets, `problem` why it is no tool."""

    name: str
    operation: str
    said: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    problem: str = ""


def read(text: str, *, came_from: str = "") -> list[Proposal]:
    """A proposal for each operation of a document; raises Invalid for what is none, or is too large.

    A server without a host is that of the address that the document came from.
    """
    document = _parsed(text)
    if not isinstance(document, dict) or not re.match(r"3\.[01]\.", f"{document.get('openapi', '')}."):
        raise Invalid.field("document", "is no OpenAPI document of version 3.0 or 3.1")
    found, names = list[Proposal](), set[str]()
    for path, method, item, operation in _operations(document):
        if len(found) == MOST_OPERATIONS:
            raise Invalid.field("document", f"has over {MOST_OPERATIONS} operations: leave out what is not needed")
        name = _name(operation.get("operationId") or f"{method}_{path}", names)
        names.add(name)
        key = f"{method.upper()} {path}"[:500]
        try:
            found.append(_Reader(document, came_from).proposal(name, key, path, method, item, operation))
        except Invalid as error:
            found.append(Proposal(name, key, problem=error.detail))
        except (TypeError, ValueError, AttributeError, KeyError, RecursionError):
            found.append(Proposal(name, key, problem="The operation is not written as OpenAPI wants it."))
    if not found:
        raise Invalid.field("document", "has no operations")
    return found


def _parsed(text: str) -> Any:
    raw = text.encode("utf-8", "replace")
    if len(raw) > LARGEST:
        raise Invalid.field("document", f"is over {LARGEST:,} bytes")
    if text.lstrip().startswith("{"):
        try:
            return jsonbody.loads(raw, limit=LARGEST)
        except Invalid as error:
            raise Invalid.field("document", error.detail) from None
    try:
        _check_yaml(text)
        # To JSON and back: dates become texts, and what two places share becomes two.
        return msgspec.json.decode(msgspec.json.encode(yaml.load(text, Loader=yaml.CSafeLoader)))
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError):
        raise Invalid.field("document", "is neither JSON nor YAML that we read") from None


def _check_yaml(text: str) -> None:
    """Raises Invalid for aliases, by which a page becomes a terabyte, and for what is nested deeper than any stack."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise Invalid.field("document", "has YAML aliases, which are not read: use $ref")
        if isinstance(event, yaml.ScalarEvent) and _NUMBER.fullmatch(event.value):
            raise Invalid.field("document", "has a number of over 300 characters")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise Invalid.field("document", f"is nested over {DEEPEST} deep")


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    paths = document.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        for method in METHODS:
            if isinstance(item, dict) and isinstance(item.get(method), dict):
                yield str(path), method, item, item[method]


def _name(said: Any, taken: set[str]) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(said)[:200]).lower()
    name = re.sub(r"[^a-z0-9]+", "_", words).strip("_") or "operation"
    name = (name if name[0].isalpha() else f"op_{name}")[:60]
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique


class _Reader:
    """Reads one operation; `nodes` bounds what its references come to."""

    def __init__(self, document: dict[str, Any], came_from: str) -> None:
        self.document = document
        self.came_from = came_from
        self.nodes = 0

    def proposal(
        self, name: str, key: str, path: str, method: str, item: dict[str, Any], operation: dict[str, Any]
    ) -> Proposal:
        """The operation as a description."""
        server, listed = self._server(operation, item), self._parameters(item, operation)
        properties, required, places = dict[str, Any](), list[str](), dict[str, str]()
        renamed = dict[str, str]()

        def add(wire: str, place: str, schema: Any, needed: bool) -> None:
            given = _BAD.sub("_", wire)[:60].strip("_") or "value"
            given = given if given not in properties else f"{place}_{given}"[:64]
            properties[given], places[given] = schema, place if given == wire else f"{place}:{wire}"
            if place == "path":
                renamed[wire] = _BAD.sub("_", wire)
                places[given] = place if given == renamed[wire] else f"{place}:{renamed[wire]}"
            if needed:
                required.append(given)

        for (wire, place), one in listed.items():
            if place == "cookie" or (place == "header" and wire.lower() in SAID):
                continue
            told, words = self._schema(one.get("schema") or _first_schema(one)), one.get("description")
            told = {"description": words, **told} if words and isinstance(words, str) else told
            add(wire, place, told, one.get("required") is True or place == "path")
        form = self._body(operation, add)
        headers, query, needs = self._security(operation)
        for wire, given in renamed.items():
            path = path.replace(f"{{{wire}}}", f"{{{given}}}")
        mark = "" if not query else "&" if "?" in path else "?"
        url = server.rstrip("/") + path + mark + query
        summary = str(operation.get("summary") or name.replace("_", " ").capitalize())
        parameters = {"type": "object", "properties": properties, "additionalProperties": False}
        said = {
            "name": name,
            "title": " ".join(summary.split())[:100],
            "description": " ".join(str(operation.get("description") or summary).split())[:2000],
            "method": method.upper(),
            "url": url,
            "parameters": {**parameters, "required": required} if required else parameters,
            "places": places,
            "body": "form" if form else "json",
            "headers": headers,
            **({"retry": "keyed"} if any(wire.lower() == "idempotency-key" for wire, _ in listed) else {}),
        }
        return Proposal(name, key, said, needs)

    def _server(self, *levels: dict[str, Any]) -> str:
        servers: Any = next((one["servers"] for one in (*levels, self.document) if one.get("servers")), [])
        server = servers[0] if servers else {}
        template, variables = str(server.get("url", "")), server.get("variables") or {}
        if len(template) > guarded.LONGEST_LINK:
            raise Invalid(_LONG)

        def value(found: re.Match[str]) -> str:
            default = variables[found[1]].get("default", "") if found[1] in variables else found[0]
            if not isinstance(default, str | int | float):
                raise Invalid("A variable of its server has a default that is no text.")
            return str(default)[: guarded.LONGEST_LINK + 1]

        url = _VARIABLE.sub(value, template)  # at once: braces in a value stand for nothing, or addresses would explode
        if len(url) > guarded.LONGEST_LINK:
            raise Invalid(_LONG)
        url = urljoin(self.came_from, url)
        if not url.startswith(("https://", "http://")):
            raise Invalid("The document names no server with a whole address: put one into `servers`.")
        return url

    def _parameters(self, item: dict[str, Any], operation: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
        """The parameters of the path and of the operation, which come before those of the same name and place."""
        levels = [level.get("parameters") or () for level in (item, operation)]
        if sum(map(len, levels)) > MOST_PARAMETERS:
            raise Invalid(f"It has over {MOST_PARAMETERS} parameters.")
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for one in (one for level in levels for one in level):
            one = self._looked_up(one)
            found[_text(one, "name"), _text(one, "in")] = one
        return found

    def _body(self, operation: dict[str, Any], add: Any) -> bool:
        """Adds the parameters of the body, and tells whether it is a form; raises Invalid for another kind."""
        said = self._looked_up(operation.get("requestBody") or {})
        content = said.get("content") or {}
        if not content:
            return False
        form = "application/x-www-form-urlencoded"
        kind = next((one for one in content if one.partition(";")[0] == "application/json"), form)
        if kind not in content:
            raise Invalid("Its body is neither JSON nor a form.")
        schema = self._schema(content[kind].get("schema") or {})
        needed = said.get("required") is True
        fields = schema.get("properties")
        if isinstance(fields, dict) and fields and not {"allOf", "anyOf", "oneOf", "if"} & set(schema):
            for name, one in fields.items():
                add(name, "body", one, name in schema.get("required", ()) and needed)
        elif kind == form:
            raise Invalid("Its form names no fields.")
        else:
            add("body", "whole", schema, needed)
        return kind == form

    def _security(self, operation: dict[str, Any]) -> tuple[dict[str, str], str, tuple[str, ...]]:
        """The headers, the query and the names of the secrets that the first way to sign in needs."""
        ways = operation.get("security", self.document.get("security")) or [{}]
        headers, query, needs = dict[str, str](), list[str](), list[str]()
        known = (self.document.get("components") or {}).get("securitySchemes") or {}
        for name in ways[0]:
            scheme = self._looked_up(known.get(name) or {})
            secret = re.sub(r"[^A-Z0-9]+", "_", str(name).upper()).strip("_")[:60] or "KEY"
            secret = secret if secret[0].isalpha() else f"KEY_{secret}"
            reference, kind = f"{{secret:{secret}}}", scheme.get("type")
            if kind == "apiKey" and scheme.get("in") == "header":
                headers[_text(scheme, "name")] = reference
            elif kind == "apiKey" and scheme.get("in") == "query":
                query.append(f"{_text(scheme, 'name')}={reference}")
            elif kind == "http" and str(scheme.get("scheme", "")).lower() == "basic":
                headers["Authorization"] = f"Basic {reference}"
            elif kind in ("http", "oauth2", "openIdConnect"):
                headers["Authorization"] = f"Bearer {reference}"
            else:
                raise Invalid(f"It is signed in to in a way that is not known here: {str(name)[:60]}.")
            needs.append(secret)
        return headers, "&".join(query), tuple(needs)

    def _looked_up(self, one: Any) -> Any:
        """What stands where a reference points; raises Invalid for one that leads outside, nowhere or in a circle."""
        for _ in range(MOST_HOPS + 1):
            self._count()
            if not isinstance(one, dict) or "$ref" not in one:
                return one
            one = self._pointed(one["$ref"])
        raise Invalid(f"It refers in a circle, or over {MOST_HOPS} references one behind the other.")

    def _pointed(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#/") or len(reference) > guarded.LONGEST_LINK:
            raise Invalid("It refers to another document: put everything into the one document.")
        found: Any = self.document
        for part in reference[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or part not in found:
                raise Invalid(f"It refers to {reference[:100]}, which is not in the document.")
            found = found[part]
        return found

    def _count(self) -> None:
        self.nodes += 1
        if self.nodes > foreign.MOST_NODES:
            raise Invalid("Its parameters come to too much, once their references are followed.")

    def _schema(self, schema: Any, within: tuple[str, ...] = ()) -> Any:
        """A schema of the document without references; one that holds itself ends in anything at all."""
        self._count()
        if isinstance(schema, list):
            return [self._schema(one, within) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if isinstance(reference := schema.get("$ref"), str):
            if reference in within:
                return {}
            return self._schema(self._looked_up(schema), (*within, reference))
        told = {}
        for key, one in schema.items():
            if key == "properties" and isinstance(one, dict):
                told[key] = {name: self._schema(inner, within) for name, inner in one.items()}
            elif key not in _DROPPED and not key.startswith("x-"):
                told[key] = one if key in ("enum", "const", "default") else self._schema(one, within)
        return _of_2020(told)


def _of_2020(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 as JSON Schema writes it."""
    if schema.pop("nullable", False) is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(flag), bool) and schema.pop(flag) and bound in schema:
            schema[flag] = schema.pop(bound)
    return schema


def _text(one: dict[str, Any], name: str) -> str:
    """A short text of a parameter or a scheme; raises Invalid for what is none, which could be told at any length."""
    text = one[name]
    if not isinstance(text, str) or len(text) > LONGEST_NAME:
        raise Invalid(f"A `{name}` in it is no text of up to {LONGEST_NAME} characters.")
    return text


def _first_schema(parameter: dict[str, Any]) -> Any:
    """The schema of a parameter that is written as a media type."""
    content = parameter.get("content") or {}
    return next((one.get("schema") or {} for one in content.values()), {"type": "string"})
