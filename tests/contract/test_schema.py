"""The OpenAPI document: whole, without warnings, and its pages open."""

import io
import re

import pytest
from django.core.management import call_command

from tests.contract.operations import DOCUMENT, OPERATIONS

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
PROBLEM = "application/problem+json"


def test_the_schema_is_valid_and_made_without_a_warning():
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_the_schema_is_of_openapi_3_1():
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["title"] == "Countersign"


def test_every_route_of_the_contract_that_stands_is_in_the_schema():
    named = {
        "POST /v1/ai/chat", "POST /v1/ai/companion/{type}/chat", "GET /v1/ai/companions",
        "PUT /v1/ai/companions/{type}/config", "GET /v1/ai/agents", "POST /v1/ai/sessions", "GET /v1/ai/sessions",
        "PATCH /v1/ai/agents/{agent_id}",
        "GET /v1/ai/sessions/{session_id}", "PATCH /v1/ai/sessions/{session_id}", "GET /v1/ai/info",
        "DELETE /v1/ai/sessions/{session_id}", "GET /v1/ai/sessions/{session_id}/stream", "GET /v1/ai/runs/{run_id}",
        "GET /v1/ai/runs/{run_id}/events", "POST /v1/ai/runs/{run_id}/cancel", "GET /v1/ai/models",
        "GET /v1/ai/preferences", "PUT /v1/ai/preferences/model", "GET /v1/ai/health", "POST /v1/auth/login",
        "POST /v1/auth/refresh", "POST /v1/auth/ticket", "GET /v1/ai/approvals", "POST /v1/ai/approvals/bulk",
        "GET /v1/ai/approvals/{approval_id}", "POST /v1/ai/approvals/{approval_id}",
        "PUT /v1/ai/approvals/{approval_id}", "PATCH /v1/ai/approvals/{approval_id}",
        "GET /v1/ai/webhooks/config", "PUT /v1/ai/webhooks/config", "GET /v1/ai/webhooks/deliveries",
        "GET /v1/ai/events",
    }  # fmt: skip
    assert named <= {str(one) for one in OPERATIONS}


def test_operation_ids_are_one_each():
    ids = [one.spec["operationId"] for one in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert not [one for one in ids if re.search(r"_\d+$", one)], "a number was put there because two were alike"


@every_operation
def test_an_operation_says_what_it_does(operation):
    assert len(operation.spec.get("summary") or operation.spec["description"]) > 10
    assert operation.spec["tags"] != ["v1"]
    assert all(re.fullmatch(r"[1-5]\d\d", status) for status in operation.spec["responses"])
    assert any(status[0] == "2" for status in operation.spec["responses"])


@every_operation
def test_an_operation_documents_how_it_refuses(operation):
    wanted = {"429"}
    wanted |= set() if operation.public else {"401", "403"}
    wanted |= {"400", "413", "415"} if operation.body else set()
    wanted |= {"400"} if operation.parameters("query") else set()
    wanted |= {"404"} if operation.parameters("path") else set()
    wanted |= {"401"} if operation.path.startswith("/v1/auth") else set()
    wanted = set() if operation.path == "/v1/ai/health" else wanted
    responses = operation.spec["responses"]
    assert wanted <= set(responses), wanted - set(responses)
    for status, response in responses.items():
        if status[0] in "45":
            assert set(response["content"]) == {PROBLEM}, status
            assert response["content"][PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert response["description"]


@every_operation
def test_an_operation_says_which_credentials_it_takes(operation):
    schemes = DOCUMENT["components"]["securitySchemes"]
    named = {name for one in operation.spec.get("security", []) for name in one}
    assert named <= set(schemes)
    assert operation.public or named == {"apiKey", "token"}


@pytest.mark.parametrize("path", ["/v1/ai/chat", "/v1/ai/runs/{run_id}/events", "/v1/ai/sessions/{session_id}/stream"])
def test_a_stream_is_described_with_its_events(path):
    one = next(one for one in OPERATIONS if one.path == path)
    told = one.spec["responses"]["200"]
    assert "text/event-stream" in told["content"]
    text = told["description"] + str(told["content"]["text/event-stream"])
    assert all(f"`{name}`" in text for name in ("session", "delta", "restart", "usage", "done", "error")), text


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_schema_and_its_page_open(client, slash):
    schema = client.get(f"/api/schema{slash}")
    assert schema.status_code == 200
    assert "openapi: 3.1" in schema.content.decode()
    assert client.get(f"/api/schema{slash}", headers={"Accept": "application/json"}).json()["openapi"].startswith("3.1")
    page = client.get(f"/api/docs{slash}")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "/api/schema" in page.content.decode()


def test_the_page_needs_nothing_of_another_host(client):
    page = client.get("/api/docs").content.decode()
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(links) >= 4
    assert all(link.startswith("/static/") for link in links), links
