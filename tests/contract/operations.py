"""The operations of the OpenAPI schema as the contract's tests walk them, and the rows that no refusal may touch."""

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.db import connection
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from tests.cast import Api

DOCUMENT: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
VERBS = ("get", "post", "put", "patch", "delete")
PROBLEM = {"type", "title", "status", "detail", "code", "request_id", "errors"}


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    spec: dict[str, Any] = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def public(self) -> bool:
        """Whether the schema asks for no credential."""
        return not self.spec.get("security")

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        """The schemas of its parameters in `path`, `query` or `header`, by name."""
        return {one["name"]: one["schema"] for one in self.spec.get("parameters", []) if one["in"] == place}

    @property
    def body(self) -> dict[str, Any]:
        """The schema of its JSON body, with references resolved one level; empty where it takes none."""
        content = self.spec.get("requestBody", {}).get("content", {})
        return resolved(content["application/json"]["schema"]) if content else {}

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """The schemas of its body's fields, by name."""
        return {name: resolved(schema) for name, schema in self.body.get("properties", {}).items()}

    def least_body(self, examples: dict[str, Any]) -> dict[str, Any] | None:
        """The smallest body that it takes: its required fields, or its first; None where it takes none."""
        if not self.body:
            return None
        wanted = self.body.get("required") or list(self.fields)[:1]
        # Where a name means something else to this operation, its example is named with it.
        own = {name: f"{self} {name}" for name in wanted}
        return {name: examples[own[name] if own[name] in examples else name] for name in wanted}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without the reference or the `allOf` of one that it may be."""
    if "$ref" in schema:
        return resolved(DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    if len(schema.get("allOf", ())) == 1:
        return {**resolved(schema["allOf"][0]), **{key: value for key, value in schema.items() if key != "allOf"}}
    return schema


NATIVE = ("/v1/ai/", "/v1/auth/")
"""Where the native dialect is: the others have shapes of errors, and a leniency, of their own, and tests/dialects."""

OPERATIONS = [
    Operation(verb.upper(), path.rstrip("/"), spec[verb])
    for path, spec in DOCUMENT["paths"].items()
    for verb in VERBS
    if verb in spec and path.startswith(NATIVE)
]


def operation(name: str) -> Operation:
    """The operation of this name, such as `GET /v1/ai/info`."""
    return next(one for one in OPERATIONS if str(one) == name)


def send(api: Api, one: Operation, path: str, body: Any = None, **how: Any) -> Any:
    """The answer to an operation at this path; a body of bytes goes as it is."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.generic(one.method, path, data, how.pop("content_type", "application/json"), **how)


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether the schema promises to take this value."""
    return _validator(schema).is_valid(value)


def check_answer(name: str, status: int, answer: Any, media: str = "application/json") -> None:
    """Fails unless the answer is what the schema documents for the operation and status, and not a field more."""
    content = operation(name).spec["responses"][str(status)]["content"][media]
    try:
        _validator(_closed(content["schema"])).validate(answer)
    except ValidationError as error:
        raise AssertionError(f"{name} {status}: {error.json_path} {error.message}") from None


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": _components()}, format_checker=FormatChecker())


@cache
def _components() -> dict[str, Any]:
    return _closed(DOCUMENT["components"])


def _closed(schema: Any) -> Any:
    """The schema, in which an object has its documented properties, all of them, and no more."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        inner = {"additionalProperties": False, **inner}
    return inner


def rows() -> dict[str, list[str]]:
    """The rows of each table, as text: two are equal where nothing was written."""
    tables = [name for name in sorted(connection.introspection.table_names()) if name != "django_migrations"]
    found: dict[str, list[str]] = {name: [] for name in tables}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}', t::text FROM \"{name}\" t" for name in tables))
        for name, row in cursor.fetchall():
            found[name].append(row)
    return {name: sorted(texts) for name, texts in found.items()}


def check_problem(response: Any, status: int | None = None) -> dict[str, Any]:
    """The problem that a response is; fails unless it is a whole one, of the client's making and with this status."""
    told = response.content[:300]
    assert 400 <= response.status_code < 500, (response.status_code, told)
    assert status in (None, response.status_code), (response.status_code, told)
    assert response.headers["Content-Type"] == "application/problem+json", told
    problem: dict[str, Any] = response.json()
    assert set(problem) >= PROBLEM, problem
    assert (problem["status"], problem["type"]) == (response.status_code, f"urn:countersign:problem:{problem['code']}")
    assert problem["title"], problem
    assert problem["detail"], problem
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert all(set(one) == {"field", "code", "message"} for one in problem["errors"]), problem
    return problem


def names(problem: dict[str, Any], field_name: str) -> bool:
    """Whether the problem's errors name the field or something in it."""
    return any(f"{one['field']}.".startswith(f"{field_name}.") for one in problem["errors"])


def without_ids(problem: dict[str, Any], *ids: Any) -> dict[str, Any]:
    """The problem with these ids and its request's taken out, so that two can be compared."""
    text = {**problem, "request_id": ""}
    return _replaced(text, [str(one) for one in ids])


def _replaced(value: Any, ids: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, ids) for inner in value]
    for one in ids if isinstance(value, str) else ():
        value = value.replace(one, "<id>")
    return value
