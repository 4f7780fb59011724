"""OpenAPI documents as tools: what each operation becomes, what cannot be one, and a document that comes again."""

import json
from contextlib import ExitStack

import pytest
import yaml

from agents.models import Tool
from agents.services import asking, tools
from agents.tools import openapi, registry
from core.errors import Forbidden, Invalid
from core.publicnet import Endpoint
from tests.servers.receiver import Receiver, Reply

SHOP = {
    "openapi": "3.0.3",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://{where}.example.com/v1", "variables": {"where": {"default": "shop"}}}],
    "security": [{"token": []}],
    "paths": {
        "/orders/{order-id}": {
            "parameters": [{"$ref": "#/components/parameters/Order"}],
            "get": {"operationId": "getOrder", "summary": "An order", "responses": {"200": {}}},
            "delete": {"operationId": "cancelOrder", "security": [{"key": []}], "responses": {}},
        },
        "/orders": {
            "get": {"parameters": [{"name": "filter[state]", "in": "query", "schema": {"type": "string"}}]},
            "post": {
                "operationId": "createOrder",
                "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                },
            },
        },
        "/upload": {"post": {"requestBody": {"content": {"image/png": {}}}}},
        "/elsewhere": {"get": {"parameters": [{"$ref": "https://evil.example/p.json"}]}},
    },
    "components": {
        "parameters": {"Order": {"name": "order-id", "in": "path", "required": True, "schema": {"type": "integer"}}},
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "query", "name": "api_key"},
        },
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["item"],
                "properties": {
                    "item": {"type": "string", "nullable": True},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
                },
            }
        },
    },
}


def proposals(document=None):
    return {one.operation: one for one in openapi.read(json.dumps(document or SHOP))}


def test_each_operation_becomes_a_description(db, owner):
    tools.import_(yaml.safe_dump(SHOP), by=owner)
    rows = {row.name: row for row in Tool.objects.all()}
    assert set(rows) == {"get_order", "cancel_order", "get_orders", "create_order"}
    get, cancel, create = rows["get_order"], rows["cancel_order"], rows["create_order"]
    assert get.url == "https://shop.example.com/v1/orders/{order-id}"
    assert (get.risk, get.retry, get.headers) == ("read", "idempotent", {"Authorization": "Bearer {secret:TOKEN}"})
    assert (cancel.risk, cancel.retry) == ("destructive", "idempotent")
    assert cancel.url.endswith("?api_key={secret:KEY}")
    assert create.risk == "external"
    assert create.parameters["properties"]["item"]["type"] == ["string", "null"]
    assert create.parameters["required"] == ["item"]
    assert rows["get_orders"].places == {"filter_state": "query:filter[state]"}
    assert registry.get("get_order", owner.workspace.pk).risk == "read"


def test_an_api_that_takes_keys_is_called_again_with_the_same(db):
    created = proposals()["POST /orders"].said
    assert created["retry"] == "keyed"
    assert not {"Idempotency-Key"} & set(created["parameters"]["properties"])


def test_what_cannot_be_a_tool_says_why():
    found = proposals()
    assert "neither JSON nor a form" in found["POST /upload"].problem
    assert "another document" in found["GET /elsewhere"].problem
    assert found["DELETE /orders/{order-id}"].needs == ("KEY",)


def test_what_changed_is_told_and_gets_a_new_version(db, owner):
    assert {state for _, state in tools.propose(json.dumps(SHOP), by=owner)} > {"new"}
    tools.import_(json.dumps(SHOP), by=owner, keep=["get_order", "cancel_order"])
    assert Tool.objects.count() == 2
    row = Tool.objects.get(name="get_order")
    tools.change(row, by=owner, risk="external")
    row.refresh_from_db()
    before = row.version
    changed = json.loads(json.dumps(SHOP))
    changed["components"]["parameters"]["Order"]["schema"] = {"type": "string"}
    states = {one.name: state for one, state in tools.propose(json.dumps(changed), by=owner)}
    assert (states["get_order"], states["create_order"]) == ("changed", "new")
    tools.import_(json.dumps(changed), by=owner, keep=["get_order"])
    row.refresh_from_db()
    assert row.version != before
    assert row.risk == "external"
    assert {one.name: state for one, state in tools.propose(json.dumps(changed), by=owner)}["get_order"] == "same"


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "[]", "{", "a: [", '{"openapi": "2.0"}', '{"swagger": "2.0"}', '{"openapi": "3.1.0"}', "\0",
        '{"openapi": "3.1.0", "paths": []}', "x" * 1_000_001, "[" * 5_000, '{"a":' * 5_000,
        "a: &a [x]\nb: *a\n", "a: !!python/object/apply:os.system [id]", "openapi: 3.1.0\n? [a]\n: b", "2020-13-45: 1",
        f"a: 1{':1' * 400_000}", f"a: 1{':1' * 140}.0", f"a: 1{':1' * 2_000}.0",
    ],
)  # fmt: skip
def test_a_document_that_is_none_is_refused(text):
    with pytest.raises(Invalid):
        openapi.read(text)


@pytest.mark.parametrize(
    "operation",
    [
        {"parameters": 5}, {"parameters": [{}]}, {"parameters": ["x"]}, {"parameters": [{"name": "a", "in": 5}]},
        {"requestBody": 5}, {"requestBody": {"content": 5}}, {"security": 5}, {"security": [5]}, {"servers": 5},
        {"parameters": [{"$ref": "#/nope"}]}, {"parameters": [{"$ref": "#/paths/~1x/get/parameters/0"}]},
        {"requestBody": {"$ref": "#/components/a"}},
    ],
)  # fmt: skip
def test_an_operation_that_is_badly_written_is_told_of(db, owner, operation):
    circle = {"a": {"$ref": "#/components/b"}, "b": {"$ref": "#/components/a"}}
    text = json.dumps({**SHOP, "paths": {"/x": {"get": operation}}, "components": circle, "security": []})
    [(one, state)] = tools.propose(text, by=owner)
    assert one.name == "get_x"
    assert state not in ("new", "changed")


def test_references_that_multiply_are_bounded():
    schemas = {f"a{n}": {"allOf": [{"$ref": f"#/components/schemas/a{n + 1}"}] * 9} for n in range(20)} | {"a20": {}}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/a0"}}}}
    document = {
        **SHOP,
        "paths": {"/x": {"post": {"requestBody": body}}},
        "components": {"schemas": schemas},
        "security": [],
    }
    assert "too much" in proposals(document)["POST /x"].problem


def test_a_document_is_fetched_by_the_guarded_client_and_by_admins(db, owner, manager, settings):
    with Receiver(Reply(200, {}, json.dumps(SHOP).encode())) as server:
        with pytest.raises(Invalid, match="not public"):
            tools.fetch(server.url(), by=owner)
        settings.TOOL_PRIVATE_ADDRESSES = (Endpoint("127.0.0.1", server.port),)
        assert json.loads(tools.fetch(server.url(), by=owner)) == SHOP
        with pytest.raises(Forbidden):
            tools.fetch(server.url(), by=manager)


def test_operations_of_two_apis_with_one_path_stay_apart(db, owner):
    first = {"openapi": "3.1.0", "servers": [{"url": "https://a.example"}], "paths": {"/now": {"get": {}}}}
    second = {**first, "servers": [{"url": "https://b.example"}]}
    tools.import_(json.dumps(first), by=owner)
    [(_, state)] = tools.import_(json.dumps(second), by=owner)
    assert "another address" in state
    assert Tool.objects.get().url == "https://a.example/now"
    second["paths"]["/now"]["get"]["operationId"] = "other_now"
    tools.import_(json.dumps(second), by=owner)
    assert {row.url for row in Tool.objects.all()} == {"https://a.example/now", "https://b.example/now"}


def test_what_would_take_a_secret_elsewhere_is_not_imported(db, owner):
    tools.keep_secret(by=owner, name="TOKEN", value="canary-0123456789", hosts=["elsewhere.example.com"])
    states = {one.name: state for one, state in tools.import_(json.dumps(SHOP), by=owner)}
    assert "may not be sent to shop.example.com" in states["get_order"]
    assert states["cancel_order"] == "new"  # it signs in with another
    assert [row.name for row in Tool.objects.all()] == ["cancel_order"]


def test_a_server_without_a_host_is_the_one_that_the_document_came_from():
    text = json.dumps({**SHOP, "servers": [{"url": "/v2"}]})
    assert "no server" in openapi.read(text)[0].problem
    [one, *_] = openapi.read(text, came_from="https://shop.example.com/docs/openapi.json")
    assert one.said["url"].startswith("https://shop.example.com/v2/orders/")


def test_variables_of_a_server_are_put_in_once_and_come_to_an_address():
    doubling = {f"v{n}": {"default": f"{{v{n + 1}}}" * 10} for n in range(12)}
    server = {"url": "https://{v0}.example.com", "variables": doubling}
    one, *_ = openapi.read(json.dumps({**SHOP, "servers": [server]}))
    assert "{v2}" not in one.said["url"]
    for server in (
        {"url": "https://a.example/{v}", "variables": {"v": {"default": "x" * 3_000}}},
        {"url": "https://a.example/" + "{v}" * 600, "variables": {"v": {"default": "x" * 300_000}}},
    ):
        one, *_ = openapi.read(json.dumps({**SHOP, "servers": [server]}))
        assert "2,000 characters" in one.problem


@pytest.mark.parametrize(("hops", "problem"), [(15, False), (30, True)])
def test_a_chain_of_references_has_an_end(hops, problem):
    chain = {f"p{n}": {"$ref": f"#/components/parameters/p{n + 1}"} for n in range(hops)}
    chain[f"p{hops}"] = {"name": "a", "in": "query", "schema": {}}
    get = {"parameters": [{"$ref": "#/components/parameters/p0"}]}
    document = {**SHOP, "paths": {"/x": {"get": get}}, "components": {"parameters": chain}, "security": []}
    assert ("over 20 references" in proposals(document)["GET /x"].problem) is problem


def test_an_operation_has_so_many_parameters_and_no_more():
    many = [{"name": f"a{n}", "in": "query", "schema": {}} for n in range(101)]
    document = {**SHOP, "paths": {"/x": {"get": {"parameters": many}}}, "security": []}
    assert "over 100 parameters" in proposals(document)["GET /x"].problem


def test_documents_are_fetched_a_few_at_a_time(db, owner):
    with ExitStack() as taken:
        for _ in range(asking.MOST_ASKED):
            taken.enter_context(asking.place())
        with pytest.raises(asking.TooManyAsked):
            tools.fetch("https://shop.example.com/openapi.json", by=owner)
