import pytest

from benchmarks import load
from benchmarks.answers import Round

FAULTS = {
    "lose": ("the text is not what the upstream sent", 1, 0),
    "double": ("the text is not what the upstream sent", 0, 1),
    "swap": ("the text is not what the upstream sent", 0, 0),
    "error": ("malformed answer: error event: provider_error", 0, 0),
    "silent end": ("malformed answer: the stream has no terminal event", 0, 0),
    "talk on": ("malformed answer: event 'usage' after the terminal one", 0, 0),
    "refuse": ("malformed answer: status 429 refused", 10, 0),
}


def native(url, message, *, stream=True, concurrency=1, total=1, key="right", limit=20.0):
    body = {"message": message, "companion": "smart-home", "model": "t10-i1", "stream": stream}
    headers = {"authorization": f"Bearer {key}"}
    return load.run(Round(url, body, "native", 10, concurrency, total, headers, limit))


def openai(url, model, tokens, concurrency):
    body = {"model": model, "stream": True, "messages": []}
    return load.run(Round(f"{url}/chat/completions", body, "openai", tokens, concurrency, concurrency))


def test_whole_streams_are_counted_token_by_token(native_url):
    result = native(native_url, "be well", concurrency=5, total=12)
    assert (result.answers, result.tokens, result.deltas) == (12, 120, 120)
    assert (result.lost, result.doubled, result.errors) == (0, 0, {})
    assert 0 < result.first_p50 <= result.first_p99
    assert result.gap_p50 > 0.5


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_stream_is_an_error_whatever_its_status(native_url, fault):
    reason, lost, doubled = FAULTS[fault]
    result = native(native_url, fault, total=2)
    assert (result.answers, result.errors) == (0, {reason: 2})
    assert (result.lost, result.doubled) == (2 * lost, 2 * doubled)


def test_a_connection_that_ends_in_mid_answer_is_an_error(native_url):
    assert native(native_url, "cut").errors == {"the connection was closed in mid-answer": 1}


def test_a_stream_that_does_not_end_in_time_is_an_error(native_url):
    result = native(native_url, "hang", limit=0.5)
    assert (result.errors, result.tokens) == ({"not answered in time": 1}, 1)


def test_a_server_that_is_not_there_is_an_error():
    assert list(native("http://127.0.0.1:9/v1/ai/chat", "x").errors) == ["no connection: Connection refused"]


def test_restart_drops_what_was_said_before_it(native_url):
    result = native(native_url, "restart")
    assert (result.answers, result.restarts, result.doubled) == (1, 1, 0)


def test_whole_answers_share_connections_and_are_compared_too(native_url):
    assert native(native_url, "be well", stream=False, concurrency=3, total=30).answers == 30
    assert native(native_url, "shout", stream=False).errors == {"the text is not what the upstream sent": 1}
    assert native(native_url, "x", stream=False, key="wrong").errors == {"malformed answer: status 401 refused": 1}


def test_the_upstream_alone_is_measured_with_the_same_ruler(upstream_url):
    result = openai(upstream_url, "t20-i20", 20, 10)
    assert (result.answers, result.lost, result.errors) == (10, 0, {})
    assert 15 < result.first_p50 < 200
    assert 15 < result.gap_p50 < 25
