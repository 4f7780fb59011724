"""JSON Schemas that others wrote: what is taken of them, and that no argument and no schema keeps a worker busy."""

import json

import pytest

from agents.tools import foreign, schema
from core.errors import Invalid
from tests.servers.receiver import Receiver, Reply

DRAFTS = [
    "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
]  # fmt: skip


def given(properties=None, **more):
    return schema.given({"type": "object", "properties": properties or {}, **more})


@pytest.mark.parametrize("draft", DRAFTS)
def test_arguments_are_held_against_the_draft_that_the_schema_names(draft):
    signature = given({"count": {"type": "integer", "minimum": 1}}, required=["count"], **{"$schema": draft})
    assert signature.check({"count": 1}) == {"count": 1}
    for wrong in ({}, {"count": 0}, {"count": "1"}):
        with pytest.raises(Invalid, match="count"):
            signature.check(wrong)


@pytest.mark.parametrize(
    "parameters",
    [
        [], "x", {}, {"type": "string"}, {"type": "object", "properties": []}, {"type": "object", "properties": None},
        {"type": "object", "required": "a"}, {"type": "object", "properties": {"a": {"type": "nonsense"}}},
        {"type": "object", "properties": {"a": 5}}, {"type": "object", "minProperties": -1},
        {"type": "object", "$schema": "http://json-schema.org/draft-04/schema#"},
        {"type": "object", "$schema": "https://evil.example/schema"},
        {"type": "object", "$schema": 5}, {"type": "object", "$ref": "#/nowhere"},
        {"type": "object", "$ref": "other.json"}, {"type": "object", "$ref": "#/$defs/a", "$defs": {"a": 5}},
        {"type": "object", "properties": {"a b": {}}}, {"type": "object", "properties": {"a\0": {}}},
        {"type": "object", "description": "a\0"}, {"type": "object", "default": "\ud800"},
        {"type": "object", "default": float("nan")},
        {"type": "object", "properties": {"x" * 65: {}}}, {"type": "object", "properties": {"": {}}},
        {"type": "object", "properties": {f"a{n}": {} for n in range(101)}},
        {"type": "object", "description": "x" * 70_000}, {"type": "object", "enum": list(range(6_000))},
    ],
)  # fmt: skip
def test_what_is_no_schema_is_refused_by_name(parameters):
    with pytest.raises(Invalid) as refused:
        schema.given(parameters)
    assert [one.field for one in refused.value.errors] == ["parameters"]


def test_a_schema_that_is_nested_too_deeply_is_refused():
    deep = {}
    for _ in range(5_000):
        deep = {"not": deep}
    with pytest.raises(Invalid, match="deep"):
        given({"a": deep})


def test_nothing_is_fetched():
    with Receiver(Reply(200, {}, b'{"type": "integer"}')) as server:
        url = server.url(path="/schema.json")
        for inner in ({"$ref": url}, {"$dynamicRef": url}, {"$id": url, "$ref": "other.json"}):
            with pytest.raises(Invalid, match="never fetched"):
                given({"a": inner})
        given({"a": {"$id": url, "type": "string"}}).check({"a": "x"})
        given({"a": {"$schema": url, "type": "string"}}).check({"a": "x"})
        assert not server.received


def test_a_schema_inside_brings_no_draft_and_no_base_of_its_own():
    inner = {"$schema": DRAFTS[0], "$id": "https://a.example/", "type": "string", "pattern": "^(a+)+$"}
    signature = given({"a": {"$ref": "#/$defs/inner"}}, **{"$defs": {"inner": inner}})
    assert "$schema" not in json.dumps(signature.parameters)
    assert signature.check({"a": "a" * 100 + "!"})


def test_a_parameter_may_be_called_as_a_keyword_is():
    signature = given({"id": {"type": "integer"}})
    with pytest.raises(Invalid, match="id: must be of type integer"):
        signature.check({"id": "x"})


@pytest.mark.parametrize(
    "properties",
    [
        {"a": {"type": "string", "pattern": "^(a+)+$"}},
        {"a": {"not": {"pattern": "^(a+)+$"}}},
        {"a": {"oneOf": [{"pattern": "^(a+)+$"}, {"type": "string"}]}},
        {"a": {"if": {"pattern": "^(a+)+$"}, "else": {"maxLength": 1}}},
    ],
)
def test_a_pattern_of_exponential_time_is_told_to_models_and_not_run(properties):
    signature = given(properties)
    assert signature.check({"a": "a" * 5_000 + "!"})
    assert "pattern" in json.dumps(signature.parameters)
    with pytest.raises(Invalid, match="b"):
        given({**properties, "b": {"type": "integer"}}).check({"b": "x"})


@pytest.mark.parametrize("more", [{}, {"additionalProperties": False}, {"unevaluatedProperties": False}])
def test_patterns_of_names_are_not_run(more):
    assert given(patternProperties={"^(a+)+$": {}}, **more).check({"a" * 5_000 + "!": 1})
    assert given(propertyNames={"pattern": "^(a+)+$"}).check({"a" * 5_000 + "!": 1})


def doubling(keyword, levels=30):
    """Definitions each of which refers to the next one twice."""
    defs = {f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": {**defs, f"a{levels}": {"type": "integer"}}}


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
@pytest.mark.parametrize("more", [{}, {"unevaluatedProperties": False}])
def test_references_that_double_end(keyword, more):
    signature = given(**doubling(keyword), **more)
    with pytest.raises(Invalid, match="too many steps"):
        signature.check({"b": 1})


def test_a_reference_to_itself_ends():
    with pytest.raises(Invalid, match="nested too deeply|too many steps"):
        given(**{"$ref": "#"}).check({})


@pytest.mark.parametrize(
    ("inner", "value"),
    [
        ({"anyOf": [{"type": "integer"}] * 1_500}, "x" * 90_000),
        ({"anyOf": [{"additionalProperties": False}] * 1_000}, {f"name{n}": 1 for n in range(5_000)}),
        ({"items": {"required": [f"n{n}" for n in range(4_500)]}}, [{}] * 20_000),
        ({"anyOf": [{"items": {"required": [f"n{n}" for n in range(4_500)]}}, {}]}, [{}] * 20_000),
        ({"items": {"enum": [f"n{n}" for n in range(4_500)]}}, ["x"] * 20_000),
        ({"allOf": [{"uniqueItems": True}] * 500}, [{"a": n} for n in range(1_000)]),
        ({"allOf": [{"uniqueItems": True}] * 500}, [{"a": "x" * 900, "b": n} for n in range(90)]),
        ({"anyOf": [{"$ref": "#/properties/b"}] * 900}, list(range(4_000))),
    ],
)
def test_arguments_that_are_dear_to_look_at_are_refused(inner, value):
    signature = given({"a": inner, "b": {"const": ["x" * 10_000]}})
    with pytest.raises(Invalid, match="too many steps"):
        signature.check({"a": value})


def test_items_that_are_unique_are_told_from_those_that_are_not():
    signature = given({"a": {"type": "array", "uniqueItems": True}})
    for items in ([f"n{n}" for n in range(900)], [{"n": n} for n in range(200)], list(range(200)), [1, True, "1"]):
        assert signature.check({"a": items})
        with pytest.raises(Invalid, match="a: "):
            signature.check({"a": [*items, items[0]]})


def test_references_to_one_place_by_many_names_are_looked_at_once():
    big = {"anyOf": [{"minLength": n} for n in range(900)]}
    names = [f"#/%24def{'%73' * (n % 2) or 's'}/{'%62' * (n // 2 % 2) or 'b'}ig" for n in range(1_000)]
    assert given({"a": {"anyOf": [{"$ref": name} for name in names]}}, **{"$defs": {"big": big}}).check({"a": "x"})


def test_many_missing_parameters_are_told_once_each():
    names = [f"n{n}" for n in range(3_000)]
    with pytest.raises(Invalid) as refused:
        given(required=names).check({})
    fields = [one.field for one in refused.value.errors]
    assert len(fields) == len(set(fields)) == schema.MOST_ERRORS


def test_a_large_document_within_the_bounds_is_taken():
    properties = {
        f"p{n}": {"type": "object", "properties": {f"q{m}": {"type": "string"} for m in range(20)}} for n in range(80)
    }
    value = {f"p{n}": {f"q{m}": "x" * 20 for m in range(20)} for n in range(80)}
    assert given(properties, additionalProperties=False).check(value) == value
    assert foreign.MOST_STEPS > 80 * 20
