"""The documents of OpenAPI: one of all, one of each dialect; examples; types of TypeScript that compile."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator

from config.documents import DIALECTS, document, whole
from config.examples import ANSWERS, REQUESTS

NAMES = [one.name for one in DIALECTS]
PROBLEM = "application/problem+json"
# Which component tells a dialect's refusals.
REFUSALS = {
    "native": (PROBLEM, "Problem"),
    "openai": ("application/json", "OpenAIError"),
    "ai-sdk": (PROBLEM, "Problem"),
    "ag-ui": ("application/json", "AgUiError"),
    "assistant": (PROBLEM, "Problem"),
    "sessions": ("application/json", "ChatErrorOut"),
    "agents": ("application/json", "DirectDetailOut"),
}


def operations(name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The operations of a document, by method and path."""
    for path, item in document(name)["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What an operation takes, and what it answers when all is well, in each media type."""
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            yield from response.get("content", {}).values()


def test_each_path_is_in_the_document_of_one_dialect():
    for path in whole()["paths"]:
        assert [one.name for one in DIALECTS if path in document(one.name)["paths"]] == [
            one.name for one in DIALECTS if one.owns(path)
        ]
        assert sum(one.owns(path) for one in DIALECTS) == 1, path


@pytest.mark.parametrize("name", NAMES)
def test_a_document_stands_for_itself(name):
    told = document(name)
    validate_schema(told)
    assert told["openapi"].startswith("3.1.")
    assert told["info"]["title"].startswith("Countersign: ")
    assert set(told["components"]["schemas"]) < set(whole()["components"]["schemas"])
    assert set(told["components"]["securitySchemes"]) >= {"apiKey", "token"}
    text = json.dumps(told)
    assert all(f'"#/components/schemas/{one}"' in text for one in told["components"]["schemas"])


def test_an_operations_id_is_its_own_in_all_of_them():
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", NAMES)
def test_refusals_are_told_in_the_dialects_own_shape(name):
    media, component = REFUSALS[name]
    for what, operation in operations(name):
        for status, response in operation["responses"].items():
            if status[0] in "45":
                assert set(response["content"]) == {media}, (what, status)
                assert response["content"][media]["schema"] == {"$ref": f"#/components/schemas/{component}"}, what
                assert response["description"], (what, status)


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_shows_an_example(name):
    bare = [
        what
        for what, operation in operations(name)
        if (told := [one for one in contents(operation) if one["schema"].get("format") != "binary"])
        and not any("examples" in one for one in told)
    ]
    assert not bare


@pytest.mark.parametrize("name", sorted({*REQUESTS, *ANSWERS}))
def test_an_example_that_is_kept_beside_its_view_is_what_the_document_says(name):
    [operation] = [one for _, one in operations() if one["operationId"] == name]
    for told in contents(operation):
        for example in told.get("examples", {}).values():
            schema = {**told["schema"], "components": whole()["components"]}
            Draft202012Validator(schema).validate(example["value"])


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_says_what_its_events_are(name):
    streams = 0
    for what, operation in operations(name):
        for response in operation["responses"].values():
            if stream := response.get("content", {}).get("text/event-stream"):
                streams += 1
                assert "data" in response["description"], what
                assert len(response["description"]) > 100, what
                assert stream["examples"], what
    assert streams


@pytest.mark.parametrize("name", ["", *NAMES])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_document_is_served_as_json_and_as_yaml(client, name, slash):
    path = f"/api/schema/{name}{slash}".replace("//", "/")
    answer = client.get(path, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()) == (200, json.loads(json.dumps(document(name))))
    if name == "ag-ui":
        answer = client.get(path, headers={"Accept": "application/yaml"})
        assert answer.content.startswith(b"openapi: 3.1")
        assert answer.headers["Content-Type"] == "application/yaml; charset=utf-8"


def test_a_document_that_there_is_not_is_refused(client):
    answer = client.get("/api/schema/esperanto")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_page_offers_every_document_and_runs_no_script_of_its_own(client):
    page = client.get("/api/docs/")
    text = page.content.decode()
    assert all(f'"/api/schema/{name}"' in text for name in NAMES)
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy


def test_types_for_typescript_are_made_of_each_document_and_a_client_compiles_with_them(node):
    folder = node("types")
    wanted = {name: document(name) for name in NAMES} | {"all": whole()}
    apis = {}
    for name, content in wanted.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
        apis[name] = {"root": f"{name}.json", "x-openapi-ts": {"output": f"{name}.d.ts"}}
    (folder / "redocly.yaml").write_text(json.dumps({"apis": apis}))  # which makes all of them at once
    run(folder, "openapi-typescript", "--default-non-nullable=false")
    assert run(folder, "tsc", "-p", ".") == 0
    wrong = (folder / "client.ts").read_text().replace('"Hello", companion', '"Hello", companio')
    (folder / "client.ts").write_text(wrong)
    assert run(folder, "tsc", "-p", ".", check=False) != 0


def run(folder, program: str, *arguments: str, check: bool = True) -> int:
    """The code that a program of Node's ends with."""
    command = [folder / "node_modules" / ".bin" / program, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.returncode
