"""OpenAI's released client for Node, as it is, at a real stack."""

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from tests.dialects.openai.test_clients import CALL, HELLO, LOCATION, PNG, snippets
from tests.servers.stack import Stack


@pytest.fixture(scope="module")
def told(live: Stack, node) -> Callable[..., list]:
    """What the client makes of requests, each a name of client.mjs and its argument."""

    def ask(*requests: tuple) -> list:
        command = ["node", "client.mjs", f"{live.base_url}/v1", live.demo["keys"]["secret"]]
        done = subprocess.run(
            command,
            cwd=node("openai"),
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.mark.proves("POST /v1/chat/completions", "GET /v1/models", "GET /v1/models/{model}", client="openai for Node")
def test_the_client_for_node_reads_what_comes(told):
    body = {"model": "companion/smart-home", "messages": HELLO}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    failing = [{"role": "user", "content": "[[rehearse: after=3 fail=error]]"}]
    whole, stream, gathered, models, model, seen, called, missing, broken = told(
        ("create", body),
        ("stream", {**body, "stream_options": {"include_usage": True}}),
        ("gather", body),
        ("models", None),
        ("model", "companion/smart-home"),
        ("create", {"model": "rehearsal", "messages": [{"role": "user", "content": [image]}]}),
        ("gather", {"model": "companion/devops", "messages": [{"role": "user", "content": CALL}], "tools": [LOCATION]}),
        ("create", {**body, "model": "companion/nobody"}),
        ("stream", {"model": "rehearsal", "messages": failing}),
    )
    text = whole["ok"]["choices"][0]["message"]["content"]
    assert "You asked: “Hello”" in text
    chunks = stream["ok"]["chunks"]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks[:-1]).startswith(text[:40])
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert gathered["ok"]["final"]["choices"][0]["message"]["content"] == gathered["ok"]["text"]
    assert {"companion/smart-home", "rehearsal"} <= {one["id"] for one in models["ok"]}
    assert model["ok"]["object"] == "model"
    assert "With it came 1 image" in seen["ok"]["choices"][0]["message"]["content"]
    [choice] = called["ok"]["final"]["choices"]
    assert (choice["finish_reason"], choice["message"]["tool_calls"][0]["function"]["name"]) == (
        "tool_calls",
        "getLocation",
    )
    failed = missing["failed"]
    assert (failed["kind"], failed["status"], failed["code"]) == ("NotFoundError", 404, "model_not_found")
    assert broken["failed"]["type"] == "server_error"


def test_the_client_for_node_brings_what_its_tools_gave(told):
    said = [{"role": "user", "content": CALL}]
    [first] = told(("create", {"model": "companion/devops", "messages": said, "tools": [LOCATION]}))
    message = first["ok"]["choices"][0]["message"]
    [call] = message["tool_calls"]
    said += [message, {"role": "tool", "tool_call_id": call["id"], "content": "in Berlin"}]
    [second] = told(("gather", {"model": "companion/devops", "messages": said, "tools": [LOCATION]}))
    assert "in Berlin" in second["ok"]["text"]
    assert second["ok"]["final"]["metadata"]["run_id"] == first["ok"]["metadata"]["run_id"]


@pytest.mark.proves("POST /v1/chat/completions", client="openai for Node")
def test_the_snippet_of_the_docs_for_node_runs(live, node):
    [script] = snippets("js")
    environment = {**os.environ, "BASE_URL": live.base_url, "KEY": live.demo["keys"]["secret"]}
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(
        command, cwd=node("openai"), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "device_list said:" in done.stdout, done.stderr
