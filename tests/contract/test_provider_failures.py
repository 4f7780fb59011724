"""A provider that fails in every way: told by status and by event alike, and what was said before is kept."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.contract.chatting import CHAT, body, streamed
from tests.contract.operations import check_answer
from tests.servers.sse import Event, Reader, resume

# The model's name makes the provider fail: the code, the status where an answer is waited for, what was said before.
FAILURES = {
    "status:401": ("provider_unauthorized", 502, ""),
    "status:403": ("provider_unauthorized", 502, ""),
    "missing": ("unknown_model", 404, ""),
    "status:400": ("provider_error", 502, ""),
    "quota": ("provider_quota_exhausted", 502, ""),
    "status:429:1": ("provider_rate_limited", 503, ""),
    "status:500": ("provider_unavailable", 503, ""),
    "status:503": ("provider_unavailable", 503, ""),
    "status-html:502": ("provider_unavailable", 503, ""),
    "cut:2": ("stream_cut", 502, "tok 0 tok 1 "),
    "ends-early": ("stream_cut", 502, "half"),
    "malformed": ("stream_malformed", 502, "good "),
    "error-event": ("provider_error", 502, "so far "),
    "web-page": ("provider_error", 502, ""),
    "stall": ("stalled", 504, "one "),
    "slow-head:9": ("first_token_timeout", 504, ""),
}


def stored_answers(http: httpx.Client, session_id: str) -> list[str]:
    session = http.get(f"/v1/ai/sessions/{session_id}").json()
    assert session["active_run_id"] is None
    return [message["content"] for message in session["messages"] if message["role"] == "assistant"]


@pytest.fixture(scope="module")
def failed(http: httpx.Client) -> dict[str, tuple[httpx.Response, list[Event]]]:
    """Each failure, waited for as JSON and as a stream; all at once, since some of them take their time."""
    names = list(FAILURES)
    with ThreadPoolExecutor(2 * len(names)) as pool:
        whole = pool.map(lambda model: http.post(CHAT, json=body(model)), names)
        streams = pool.map(lambda model: streamed(http, body(model))[1], names)
        return dict(zip(names, zip(whole, streams, strict=True), strict=True))


@pytest.mark.parametrize("model", FAILURES)
def test_a_provider_that_fails_is_told_of_by_status_and_by_event(http, failed, model):
    code, status, said = FAILURES[model]
    answer, told = failed[model]
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(problem) >= {"type", "title", "status", "detail", "code", "request_id", "errors", "run_id", "session_id"}
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    end = told[-1]
    assert (end.name, end.data["code"]) == ("error", code)
    assert set(end.data) >= {"code", "message", "retryable"}
    assert end.data["message"] == problem["detail"]
    assert end.data["retryable"] is problem["retryable"]
    assert [event.name for event in told].count("error") == 1
    assert "done" not in [event.name for event in told]
    assert "".join(event.data["text"] for event in told if event.name == "delta") == said
    for session_id in (problem["session_id"], end.data["session_id"]):
        assert stored_answers(http, session_id) == ([said] if said else []), "what was said is kept"
    run = http.get(f"/v1/ai/runs/{problem['run_id']}").json()
    check_answer("GET /v1/ai/runs/{run_id}", 200, run)
    assert (run["status"], run["error"]) == ("failed", {"code": code, "message": problem["detail"]})


@pytest.mark.parametrize("model", FAILURES)
def test_a_run_that_failed_is_told_alike_to_who_comes_later(http, key, live, failed, model):
    answer, told = failed[model]
    later = resume(live.base_url, key, Reader(run_id=answer.json()["run_id"]))
    assert later.end is not None
    assert later.text == FAILURES[model][2]
    assert {name: later.end.data[name] for name in ("code", "message", "retryable")} == {
        name: told[-1].data[name] for name in ("code", "message", "retryable")
    }


def test_a_failure_tells_no_secret_of_the_provider(http):
    problem = http.post(CHAT, json=body("echo-key")).json()
    assert problem["code"] == "provider_unauthorized"
    assert "sk-proj-abcdefgh1234" not in json.dumps(problem)


def test_a_session_goes_on_after_a_failure(http, failed):
    session_id = failed["malformed"][0].json()["session_id"]
    told = http.post(CHAT, json=body("t2-i0", session_id=session_id)).json()
    assert told["response"] == "tok 0 tok 1 "


def test_a_provider_that_recovers_before_the_first_token_is_asked_again(http):
    assert http.post(CHAT, json=body("flaky:1")).json()["response"] == "tok 0 tok 1 "
