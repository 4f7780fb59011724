"""Traces over web, worker and provider, as a receiver of OTLP is sent them."""

import os
import subprocess
import sys

import httpx
import pytest
from django.conf import settings

from core import tracing
from tests.operations.collecting import said, spans
from tests.servers import openai_server
from tests.servers.receiver import Reply, receiving
from tests.servers.stack import eventually, running

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CANARY = "canary-sk-live-4711"
LOADED = "opentelemetry.sdk.trace", "opentelemetry.exporter", "sentry_sdk", "prometheus_client"


@pytest.fixture(scope="module")
def traced():
    """A stack that tells its traces, with a provider of its own; gives all three."""
    with openai_server.running(["t5-i0"]) as provider, receiving(Reply(200)) as collector:
        env = {
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": CANARY,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url(path=""),
            "EXTRACTION": "0",
        }
        with running(env=env) as stack:
            yield stack, provider, collector


def say(stack, message, headers=None, **more):
    body = {"message": message, "companion": "smart-home", "model": "t5-i0", **more}
    url = f"{stack.base_url}/v1/ai/chat"
    answer = httpx.post(url, json=body, headers={**stack.headers, **(headers or {})}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


def trace_of(collector, caller):
    """The trace that is linked with that of a caller, who names it."""

    def found():
        for one in spans(collector):
            if any(link.trace_id.hex() == caller[3:35] for link in one.links):
                return one.trace_id.hex()
        return None

    return eventually(found, "the request's span")


def of_trace(collector, trace_id, *names):
    """The spans of a trace by the beginnings of their names, once all of these have come."""

    def found():
        mine = [one for one in spans(collector) if one.trace_id.hex() == trace_id]
        named = {name: one for name in names for one in mine if one.name.startswith(name)}
        return named if len(named) == len(names) else None

    return eventually(found, f"the spans {names}")


@pytest.mark.parametrize("sampled", ["00", "01"])
def test_web_worker_and_provider_are_one_trace_linked_with_its_caller_who_does_not_say_whether_it_is(traced, sampled):
    stack, provider, collector = traced
    caller = CALLER.replace("80319c", f"8031{sampled}")[:-2] + sampled
    say(stack, f"Hello {CANARY}", {"traceparent": caller})
    trace = trace_of(collector, caller)
    assert trace != caller[3:35]
    found = of_trace(collector, trace, "POST /v1/ai/chat", "invoke_agent", "chat ")
    request, run, call = found["POST /v1/ai/chat"], found["invoke_agent"], found["chat "]
    assert not request.parent_span_id
    assert [link.span_id.hex() for link in request.links] == [caller[36:52]]
    assert run.parent_span_id == request.span_id
    assert call.parent_span_id == run.span_id
    assert said(request) == {
        "http.request.method": "POST", "http.route": "/v1/ai/chat", "http.response.status_code": 200,
    }  # fmt: skip
    assert said(run)["countersign.outcome"] == "completed"
    told = said(call)
    assert (told["gen_ai.request.model"], told["gen_ai.operation.name"]) == ("t5-i0", "chat")
    assert told["gen_ai.usage.output_tokens"] > 0
    [asked] = [one for one in provider.chats if one.headers.get("traceparent", "")[3:35] == trace]
    assert asked.headers["traceparent"][36:52] == call.span_id.hex(), "a server of one's own goes on in the trace"


def test_a_call_of_a_tool_is_in_the_trace_of_its_run(traced):
    stack, _, collector = traced
    parent = CALLER.replace("0af7651916cd43dd", "1111111111111111")
    say(stack, f"[[rehearse: call=device_list {{}}]] {CANARY}", {"traceparent": parent}, model="rehearsal")
    found = of_trace(collector, trace_of(collector, parent), "invoke_agent", "execute_tool")
    assert found["execute_tool"].parent_span_id == found["invoke_agent"].span_id
    assert said(found["execute_tool"])["countersign.outcome"] == "succeeded"


def test_nothing_of_what_was_said_or_of_any_key_is_told(traced):
    stack, _, collector = traced
    file = CALLER.replace("0af7651916cd43dd", "2222222222222222")
    httpx.get(f"{stack.base_url}/static/none.js", headers={"traceparent": file})
    query = f"{stack.base_url}/v1/ai/sessions/{CANARY}?token={CANARY}"
    httpx.get(query, headers={"Authorization": f"Bearer {CANARY}", "X-Request-Id": CANARY, "tracestate": CANARY})
    broken = {**stack.headers, "Content-Type": "application/json"}
    httpx.post(f"{stack.base_url}/v1/ai/chat", content=f'{{"message": "{CANARY}"', headers=broken)
    eventually(lambda: any(said(one).get("http.response.status_code") == 400 for one in spans(collector)), "both")
    assert not any(link.trace_id.hex() == file[3:35] for one in spans(collector) for link in one.links), "a static file"
    everything = b"".join(request.body for request in collector.received)
    for secret in (CANARY, stack.demo["keys"]["secret"], stack.demo["users"]["admin"]["email"], "Hello"):
        assert secret.encode() not in everything


def test_a_receiver_that_is_away_costs_no_answer(traced):
    stack, _, collector = traced
    before = len(collector.received)
    collector.replies[:] = [Reply(cut=True)]
    say(stack, "Hello")
    eventually(lambda: len(collector.received) > before, "it is tried")
    say(stack, "Hello")
    collector.replies[:] = [Reply(200)]


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:11434", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://vllm:8000/v1", True),
        ("http://models.lan/v1", True),
        ("http://vllm.models.svc/v1", True),
        ("https://api.openai.com/v1", False),
        ("https://8.8.8.8/v1", False),
        ("https://lan.example/v1", False),
        ("https://notlan", True),
        ("https://evil-lan.com", False),
        ("", False),
        ("http://[bad", False),
    ],
)
def test_only_servers_of_ones_own_are_told_of_the_trace(url, own):
    assert tracing.is_own(url) is own


def test_without_the_settings_nothing_of_it_is_loaded():
    program = (
        "import sys, config.asgi, chat.tasks, chat.engine\n"
        "from core import tracing\n"
        "with tracing.span('x') as span: span.note({'a': 1})\n"
        f"print([name for name in sys.modules if name.startswith({LOADED!r})])\n"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, cwd=settings.BASE_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
