"""Requests that Schemathesis makes of each document, to a whole stack: none breaks it, each answer is as documented.

`make contract` makes many more of each operation (REQUESTS).
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from config.documents import DIALECTS, document
from tests.servers.stack import running

REQUESTS = int(os.environ.get("REQUESTS", "3"))
REFUSALS = (502, 503, 504)
"""No document has a 500. These are what providers and others' servers do, such as one whose name nobody knows."""
SCHEMA = response_schema_conformance
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, SCHEMA]
UNLIMITED = {f"LIMIT_{name}": "1000000" for name in ("LOGIN", "CHAT", "READ", "WRITE", "PAGE", "HOOK", "DECIDE")}
OPERATIONS = [
    pytest.param(found.ok(), id=f"{one.name} {found.ok().label}")
    for one in DIALECTS
    for found in schemathesis.openapi.from_dict(document(one.name)).get_all_operations()
]


@dataclass
class Caller:
    """An admin of a stack, and how the things are made that paths name."""

    http: httpx.Client

    def _made(self, path: str, **body: Any) -> str:
        answer = self.http.post(path, json=body)
        assert answer.is_success, (path, answer.text)
        made = answer.json()
        return str(made.get("folder", made)["id"])

    @cached_property
    def run_id(self) -> str:
        """A run that has ended."""
        answer = self.http.post("/v1/ai/chat", json={"message": "Hello", "companion": "smart-home"})
        assert answer.is_success, answer.text
        return str(answer.json()["run_id"])

    def of(self, name: str, path: str) -> str:
        """A new thing, or one of the demo's, for a parameter of this path; empty where there is none to be had."""
        makers: dict[str, Callable[[], str]] = {
            "type": lambda: "smart-home",
            "agent": lambda: "smart-home",
            "provider": lambda: "rehearsal",
            "model": lambda: "companion/smart-home",
            "agent_id": lambda: self._made("/v1/ai/agents", name=f"Made {uuid4()}"),
            "team_id": lambda: self._made("/v1/ai/teams", name=f"Made {uuid4()}", agents=["smart-home"]),
            "session_id": lambda: self._made("/v1/ai/sessions", companion="smart-home"),
            "run_id": lambda: self.run_id,
            "conversation_id": lambda: self._made("/v1/ai/sessions", companion="smart-home"),
            "chat_id": lambda: self._made("/chat", agentId="smart-home") if path.startswith("/chat") else "a chat",
            "memory_id": lambda: self._made("/v1/ai/memory", layer="preferences", content="Tea, please."),
            "folder_id": lambda: self._made("/api/chat/folders", name=f"Home {uuid4().hex[:8]}"),
        }
        return makers[name]() if name in makers else ""


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    """An admin of a stack that only these tests use, for they delete whatever they find."""
    with running(env={**UNLIMITED, "EXTRACTION": "0"}) as stack:
        with httpx.Client(base_url=stack.base_url, trust_env=False, timeout=30) as http:
            login = {name: stack.demo["users"]["admin"][name] for name in ("email", "password")}
            answer = http.post("/v1/auth/login", json=login)
            http.headers["Authorization"] = f"Bearer {answer.json()['access']}"
            yield Caller(http)
        assert "Traceback" not in stack.log("web1")


def told(operation: APIOperation) -> list[Any]:
    """The bodies that the document shows."""
    content = operation.definition.raw.get("requestBody", {}).get("content", {}).get("application/json", {})
    return [one["value"] for one in content.get("examples", {}).values()]


def hollow(operation: APIOperation) -> list[Any]:
    """A body that the document shows, with each of the lists that it may have in turn holding nothing but null.

    No document allows that, and of a few requests that are generated none is likely to have it.
    """
    content = operation.definition.raw.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    known = operation.schema.raw_schema.get("components", {}).get("schemas", {})
    fields = known.get(schema.get("$ref", "").rpartition("/")[2], schema).get("properties", {})
    lists = [name for name, one in fields.items() if "array" in one.get("type", "")]
    return [{**body, name: [None]} for body in told(operation)[:1] for name in lists]


def is_as_told(stream: str, description: str) -> None:
    """Hold a stream to what the document tells of it: whole frames, each of JSON, of events that are named there."""
    frames = stream.split("\n\n")
    assert frames.pop() == "", "the last frame is cut off"
    assert frames
    for frame in frames:
        lines = [line.partition(": ") for line in frame.split("\n") if not line.startswith(":")]
        data = "\n".join(text for name, _, text in lines if name == "data")
        if not data or data == "[DONE]":
            continue
        found = json.loads(data)
        named = [text for name, _, text in lines if name == "event"] or [str(found.get("type", ""))]
        assert named[0] in description, (frame, description)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_is_as_the_document_has_it(caller: Caller, operation: APIOperation):
    names = [one.name for one in operation.path_parameters]
    real = {name: made for name in names if (made := caller.of(name, operation.path))}
    statuses = []

    def ask(case: Case) -> None:
        answer = case.call(
            base_url=str(caller.http.base_url), headers={"Authorization": caller.http.headers["Authorization"]}
        )
        statuses.append(answer.status_code)
        assert answer.status_code < 500 or answer.status_code in REFUSALS, answer.text
        # Of a stream Schemathesis knows only OpenAPI 3.2's way to describe one event.
        streamed = answer.headers.get("content-type", [""])[0].startswith("text/event-stream")
        if streamed:
            is_as_told(answer.text, operation.definition.raw["responses"][str(answer.status_code)]["description"])
        case.validate_response(answer, checks=[one for one in CHECKS if not (streamed and one is SCHEMA)])

    for body in (*told(operation), *hollow(operation)):
        case = operation.Case(path_parameters=dict(real), body=body, media_type="application/json")
        if set(real) == set(names):
            ask(case)

    @settings(
        max_examples=REQUESTS, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def generated(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(GenerationMode))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if real and data.draw(st.booleans()):
            case.path_parameters = {**case.path_parameters, **real}
        ask(case)

    generated()
    assert statuses
    assert 401 not in statuses or not operation.definition.raw.get("security")
