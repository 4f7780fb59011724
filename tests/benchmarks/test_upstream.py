import json
import time

import httpx
import pytest

from benchmarks import upstream


@pytest.fixture
def client(upstream_url):
    with httpx.Client(base_url=upstream_url, timeout=10, trust_env=False) as client:
        yield client


def chunks(client, model):
    body = {"model": model, "stream": True, "messages": []}
    with client.stream("POST", "/chat/completions", json=body) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        for line in answer.iter_lines():
            if line:
                yield time.monotonic(), line.removeprefix("data: ")


def test_a_model_says_as_many_tokens_as_its_name_tells_and_ends_as_openai_does(client):
    *said, done = [data for _, data in chunks(client, "t5-i2")]
    first, *content, finish, usage = [json.loads(data) for data in said]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in content) == upstream.answer(5)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 5)
    assert done == "[DONE]"


def test_tokens_keep_their_interval_on_the_average(client):
    times = [moment for moment, data in chunks(client, "t50-i10") if '"content":"tok' in data]
    assert (times[-1] - times[0]) / 49 > 0.008, "on a machine with nothing else to do it is 0.01"


def test_an_interval_of_nothing_sends_all_at_once(client):
    assert sum('"content":"tok' in data for _, data in chunks(client, "t400-i0")) == 400


def test_a_whole_answer_has_the_same_text(client):
    answer = client.post("/chat/completions", json={"model": "t3-i0", "messages": []}).json()
    assert answer["choices"][0]["message"]["content"] == "tok 0 tok 1 tok 2 "


def test_the_models_are_listed(client):
    assert {"id": "t100-i20", "object": "model", "owned_by": "benchmark"} in client.get("/models").json()["data"]


def test_a_name_that_tells_nothing_is_not_found(client):
    answer = client.post("/chat/completions", json={"model": "gpt-4o", "messages": []})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_client_that_leaves_does_not_hold_up_the_others(client):
    leaving = chunks(client, "t1000-i5")
    next(leaving)
    leaving.close()
    assert len(list(chunks(client, "t10-i5"))) == 14
