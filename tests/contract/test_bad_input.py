"""What is sent wrong is refused by name and nothing is written: every field of every operation of the schema."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from core import ids
from tests.contract.conftest import World
from tests.contract.operations import OPERATIONS, Operation, accepts, check_problem, names, rows, send

bodies = pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.body], ids=str)
body_fields = pytest.mark.parametrize(
    ("operation", "name"), [(one, name) for one in OPERATIONS for name in one.fields], ids=str
)
query_fields = pytest.mark.parametrize(
    ("operation", "name"), [(one, name) for one in OPERATIONS for name in one.parameters("query")], ids=str
)

OTHER_TYPES = [None, True, False, 0, 5, -1, 1.5, 1e300, "", " ", "text", [], ["text"], [None], [[]], [{}], {}, {"a": 1}]
LONG = ["x" * 70, "x" * 300_000, ["x"] * 1000, {"x": "y" * 20_000}, "0" * 400]
NUL, HALF = '"a\\u0000b"', '"a\\ud800b"'
# JSON texts that stand for a value, which a strict reader refuses wherever they stand.
NOT_JSON = {
    "NaN": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "a float too large": "1e999",
    "2**63": str(2**63),
    "-2**53": str(-(2**53)),
    "a number of 5,000 digits": "9" * 5000,
    "a number with a leading zero": "01",
    "a bare word": "undefined",
    "single quotes": "'a'",
    "a raw line break": '"a\nb"',
    "a raw NUL": '"a\x00b"',
    "a comment": "1 /* one */",
    "a trailing comma": "[1,]",
    **{f"{depth} lists deep": "[" * depth + "]" * depth for depth in (65, 1000, 100_000)},
    **{f"{depth} objects deep": '{"a":' * depth + "1" + "}" * depth for depth in (65, 1000, 100_000)},
    "65 lists that never end": "[" * 65,
}
# And those whose place can be told.
UNSTORABLE = {
    "a NUL": (NUL, ""),
    "half a surrogate pair": (HALF, ""),
    "the other half": ('"\\udfff"', ""),
    "halves the wrong way round": ('"\\udc00\\ud800"', ""),
    "a NUL in a list": (f"[{NUL}]", ".0"),
    "a NUL in a key": ('{"a\\u0000": 1}', ".a?"),
    "a surrogate in a key": ('{"\\ud800": 1}', ".?"),
}
TOP_LEVEL = [b"[]", b"5", b'"text"', b"null", b"true", b"[{}]"]
NOT_A_BODY = [
    b"", b" ", b"{", b"}", b"{}{}", b"not json", b"a=1&b=2", b'{"a"}', b"{'a': 1}", b"\xff\xfe{\x00}\x00", b"\x00",
    b'{"message": "\xff"}', b'\xef\xbb\xbf{"message": "with a byte order mark"}', b'{"message": "\xed\xa0\x80"}',
]  # fmt: skip
OTHER_MEDIA = [
    "text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "nonsense",
    "application/json; charset=utf-16", "application/jsonx", "application/problem+json", "application/octet-stream",
]  # fmt: skip


def ask(world: World, one: Operation, body: Any, **how: Any) -> Any:
    return send(world.admin.api, one, world.admin.url(one), body, **how)


def with_text(world: World, one: Operation, name: str, text: str) -> bytes:
    """The operation's least body with a field whose value is this JSON text, well formed or not."""
    body = {**(one.least_body(world.examples) or {}), name: "<here>"}
    return json.dumps(body).replace('"<here>"', text).encode()


def spread(fields: Iterable[str], texts: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every text in some field and every field with some text: where it stands makes no difference to the reader."""
    names = list(fields)
    for number in range(max(len(names), len(texts)) if names else 0):
        what, text = list(texts.items())[number % len(texts)]
        yield names[number % len(names)], what, text


def wrong_values(schema: dict[str, Any]) -> Iterator[Any]:
    """Values that the field's schema does not take: of other types, empty, too long, out of bounds."""
    bounds = [schema.get("maximum", 0) + 1, schema.get("minimum", 0) - 1]
    lengths = ["x" * (schema["maxLength"] + 1)] if "maxLength" in schema else []
    items = [["x"] * (schema["maxItems"] + 1)] if "maxItems" in schema else []
    for value in (*OTHER_TYPES, *LONG, *bounds, *lengths, *items):
        if not accepts(schema, value):
            yield value


@bodies
@pytest.mark.proves(client="Django's test client")
def test_the_least_body_is_taken(world: World, operation):
    """Without this all of them could be refused for another reason than the field at fault."""
    assert ask(world, operation, operation.least_body(world.examples)).status_code < 300


@body_fields
def test_a_value_that_a_field_does_not_take_is_refused_by_name(world: World, operation, name):
    before = rows()
    values = list(wrong_values(operation.fields[name]))
    assert len(values) >= 8
    for value in values:
        answer = ask(world, operation, {**(operation.least_body(world.examples) or {}), name: value})
        assert answer.status_code == 400, (str(value)[:60], answer.content[:200])
        assert names(check_problem(answer), name), (str(value)[:60], answer.content[:200])
    assert rows() == before


@bodies
def test_what_is_no_json_is_refused_wherever_it_stands(world: World, operation):
    before = rows()
    for name, what, text in spread(operation.fields, NOT_JSON):
        problem = check_problem(ask(world, operation, with_text(world, operation, name, text)), 400)
        assert problem["code"] == "bad_json", (name, what)
    assert rows() == before


@bodies
def test_what_cannot_be_stored_is_refused_by_name(world: World, operation):
    before = rows()
    for name, what, (text, inside) in spread(operation.fields, UNSTORABLE):
        problem = check_problem(ask(world, operation, with_text(world, operation, name, text)), 400)
        assert [one["field"] for one in problem["errors"]] == [name + inside], (name, what)
    assert rows() == before


@bodies
def test_a_field_that_stands_twice_is_refused_by_name(world: World, operation):
    before = rows()
    least = operation.least_body(world.examples)
    for name in operation.fields:
        inner = json.dumps({**least, name: world.examples.get(name)})[1:-1]
        for again in ("null", '"text"', json.dumps(world.examples.get(name))):
            body = f'{{{inner}, "{name}": {again}}}'.encode()
            problem = check_problem(ask(world, operation, body), 400)
            assert [(one["field"], one["code"]) for one in problem["errors"]] == [(name, "duplicate_key")]
        deeper = with_text(world, operation, name, '{"a": [{"b": 1, "b": 1}]}')
        assert check_problem(ask(world, operation, deeper), 400)["errors"][0]["code"] == "duplicate_key"
    assert rows() == before


@bodies
def test_a_required_field_that_is_missing_is_named(world: World, operation):
    before = rows()
    least = operation.least_body(world.examples)
    for name in operation.body.get("required", []):
        rest = {key: value for key, value in least.items() if key != name}
        assert names(check_problem(ask(world, operation, rest), 400), name)
    if not operation.body.get("required"):
        problem = check_problem(ask(world, operation, {}), 400)
        assert all(name in problem["detail"] for name in operation.fields), "it says what may be sent"
    assert rows() == before


@bodies
def test_an_unknown_field_is_refused_by_name(world: World, operation):
    before = rows()
    least = operation.least_body(world.examples)
    known = [
        "id", "tenant", "workspace_id", "owner", "created_at", "status", "role", "is_staff", "cost", "seq", "hash",
        "messages", "__proto__", "Message", "message ", "stream_", "x" * 99, "", "ключ", "a.b", "user",
    ]  # fmt: skip
    for name in known:
        problem = check_problem(ask(world, operation, {**least, name: 1}), 400)
        assert [(one["field"], one["code"]) for one in problem["errors"]] == [(name, "unknown_field")]
    for text in ('"a\\u0000"', '"\\ud800"'):
        body = (json.dumps(least)[:-1] + f", {text}: 1}}").encode()
        check_problem(ask(world, operation, body), 400)
    assert check_problem(ask(world, operation, {**least, "x" * 10_000: 1}), 400)
    many = check_problem(ask(world, operation, {**least, **{f"f{number}": 1 for number in range(20_000)}}), 400)
    assert len(many["errors"]) <= 20
    assert rows() == before


@bodies
def test_what_is_no_json_object_is_refused(world: World, operation):
    before = rows()
    for body in (*TOP_LEVEL, *NOT_A_BODY):
        check_problem(ask(world, operation, body), 400)
    assert rows() == before


@bodies
def test_a_body_that_is_not_called_json_is_refused(world: World, operation):
    before = rows()
    least = operation.least_body(world.examples)
    for media in OTHER_MEDIA:
        assert check_problem(ask(world, operation, least, content_type=media), 415)["code"] == "unsupported_media_type"
    check_problem(ask(world, operation, least, content_type=""))
    assert rows() == before
    assert ask(world, operation, least, content_type="Application/JSON; Charset=UTF-8").status_code < 300


@bodies
def test_a_body_over_its_limit_is_refused_as_too_large(world: World, operation):
    limit = 12_000_000 if operation.path.endswith("/chat") else 1_000_000
    before = rows()
    for body in (b" " * limit + b"{}", b'{"a": "' + b"x" * limit + b'"}', b"[" * (limit + 1), b"\xff" * (limit + 1)):
        assert check_problem(ask(world, operation, body), 413)["code"] == "too_large"
    assert check_problem(ask(world, operation, b" " * (limit - 2) + b"[]"), 400)["code"] == "bad_json"
    assert rows() == before


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if not one.body], ids=str)
def test_what_an_operation_does_not_read_does_it_no_harm(world: World, operation):
    for body in (b"{", b"\xff", b"[" * 100_000, b"{}"):
        assert ask(world, operation, body).status_code < 500


BY_TYPE = {
    "integer": ["", "abc", "1.5", "-1", "9" * 30, "9" * 5000, "0x10", "1e3", "true", "NaN", "null", "1,2"],
    "boolean": ["", "maybe", "2", "-1", "[]", "truee"],
    "string": ["", "x" * 300, "x" * 5000],
}


@query_fields
def test_a_parameter_that_does_not_fit_is_refused_by_name(world: World, operation, name):
    schema = operation.parameters("query")[name]
    values = list(BY_TYPE[schema["type"]])
    if schema.get("format") == "uuid":
        values += ["abc", str(ids.new())[:-1], "{}", "' OR 1=1 --"]
    if "pattern" in schema:
        values += ["a b", "a'b", "ä", "../x", "a;b"]
    values += [schema["maximum"] + 1] if "maximum" in schema else []
    values += [schema["minimum"] - 1] if "minimum" in schema else []
    before = rows()
    for value in values:
        path = world.admin.url(operation)
        answer = world.admin.api.generic(operation.method, path, query_params={name: value})
        assert names(check_problem(answer, 400), name), (value, answer.content)
        twice = f"{name}={value}&{name}={value}"
        assert names(check_problem(world.admin.api.generic(operation.method, f"{path}?{twice}"), 400), name)
    for raw in ("%00", "a%00b", "%ff", "%ed%a0%80", "\x00"):
        check_problem(world.admin.api.generic(operation.method, path, QUERY_STRING=f"{name}={raw}"), 400)
    assert rows() == before


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.method == "GET" and not one.public], ids=str)
def test_an_unknown_parameter_is_refused_by_name(world: World, operation):
    before = rows()
    for name in ("unknown", "session__tenant", "user__email", "_connector", "limit[]", "Limit", "order_by"):
        answer = world.admin.api.get(world.admin.url(operation), {name: "1"})
        problem = check_problem(answer, 400)
        assert [(one["field"], one["code"]) for one in problem["errors"]] == [(name, "unknown_field")]
    assert rows() == before


@pytest.mark.parametrize("cursor", ["x", "x:y:z", "a" * 200, "bnVsbA:1w9X2e:c2ln", "' OR 1=1 --", "0", "🙂"])
def test_a_cursor_that_is_none_of_ours_is_refused(world: World, cursor):
    problem = check_problem(world.me.api.get("/v1/ai/sessions", {"cursor": cursor}), 400)
    assert [(one["field"], one["code"]) for one in problem["errors"]] == [("cursor", "bad_cursor")]


BAD_PLACES = ["-1", "abc", "1.5", "9" * 30, str(2**63), str(2**53), "1e3", "+1", "１", "0x1", "1 2", "[]", "1\t"]
STREAMS = [one for one in OPERATIONS if "Last-Event-ID" in one.parameters("header")]


@pytest.mark.parametrize("operation", STREAMS, ids=str)
@pytest.mark.parametrize("where", ["Last-Event-ID", "after"])
def test_a_place_that_no_event_has_is_refused_by_the_name_it_was_sent_by(world: World, operation, where):
    assert where in {**operation.parameters("header"), **operation.parameters("query")}
    before = rows()
    for place in (value for value in BAD_PLACES if where == "after" or value.strip() == value):
        how = {"headers": {where: place}} if where == "Last-Event-ID" else {"query_params": {where: place}}
        answer = world.admin.api.get(world.admin.url(operation), **how)
        assert names(check_problem(answer, 400), where), (place, answer.content)
    assert rows() == before


def test_places_are_read_by_two_operations():
    assert len(STREAMS) == 2


IDEMPOTENT = [
    "POST /v1/ai/chat", "POST /v1/ai/companion/{type}/chat", "POST /v1/ai/sessions", "POST /v1/ai/approvals/bulk",
    "POST /v1/ai/approvals/{approval_id}", "PUT /v1/ai/approvals/{approval_id}", "PATCH /v1/ai/approvals/{approval_id}",
]  # fmt: skip


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if str(one) in IDEMPOTENT], ids=str)
def test_an_idempotency_key_that_cannot_be_one_is_refused_by_name(world: World, operation):
    before = rows()
    for key in ("", "x" * 256, "schlüssel", "a\tb", "a\x7f"):
        answer = ask(world, operation, operation.least_body(world.examples), headers={"Idempotency-Key": key})
        assert names(check_problem(answer, 400), "Idempotency-Key")
    assert rows() == before


UNKNOWN = {
    "companion": ("no-such-type", "unknown_companion"),
    "model": ("no-such-model", "unknown_model"),
    "session_id": (str(ids.new()), "unknown_session"),
}


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (one, name)
        for one in OPERATIONS
        for name in one.fields
        if name in UNKNOWN
        and not (name == "model" and one.path.startswith("/v1/ai/agents"))  # asked for when it answers
    ],
    ids=str,
)
def test_what_is_named_and_does_not_exist_is_refused_with_its_own_code(world: World, operation, name):
    value, code = UNKNOWN[name]
    before = rows()
    answer = ask(world, operation, {**(operation.least_body(world.examples) or {}), name: value})
    assert check_problem(answer, 404)["code"] == code
    assert rows() == before


@pytest.mark.parametrize(
    "extra",
    [
        {"metadata": {"a": "x" * 16_384}},
        {"metadata": {"a": {}}, "attachments": [{"url": "https://example.org/a.png"}]},
        {"message": "   \n\t "},
        {"message": "x" * 200_001},
        {"wait": 601},
        {"wait": -0.001},
        {"on_conflict": "REJECT"},
        {"companion": "x" * 61},
        {"companion": "smart home"},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_the_limits_of_a_message_hold(world: World, extra):
    before = rows()
    answer = world.me.api.post("/v1/ai/chat", {"message": "Hello", **extra})
    assert names(check_problem(answer, 400), list(extra)[-1])
    assert rows() == before


@pytest.mark.parametrize("extra", [{"message": "x" * 200_000}, {"metadata": {"a": "x" * 16_000}}, {"wait": 600}])
def test_what_is_within_the_limits_is_taken(world: World, extra):
    assert world.me.api.post("/v1/ai/chat", {"message": "Hello", **extra}).status_code == 200
