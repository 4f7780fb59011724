"""Vectors may come from any server with `/v1/embeddings`, and whatever that does ends in vectors or in a clear word."""

import json
import threading

import numpy as np
import pytest
from django.core.checks import run_checks

from memory import embedders
from memory.embedders import READY, EmbedderUnavailable
from memory.embedders import openai as module
from memory.embedders.openai import OpenAIEmbedder
from tests.servers.embeddings_server import embedding, numbers, vectors
from tests.servers.receiver import Reply

KEY = "sk-embed-0123456789abcdef"


@pytest.fixture
def server():
    with embedding() as server:
        yield server


@pytest.fixture
def connect(settings):
    """Makes the embedder that asks a server."""
    made = []

    def make(server, *, path="/v1", key=KEY):
        settings.EMBEDDER = "openai"
        settings.EMBEDDER_URL, settings.EMBEDDER_API_KEY = server.url(path=path), key
        settings.EMBEDDER_MODEL = "text-embedding-3-small"
        made.append(OpenAIEmbedder())
        return made[-1]

    yield make
    for embedder in made:
        embedder.close()


def data(*vectors):
    return json.dumps({"data": [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]})


def test_texts_are_embedded_in_their_order_and_to_length_one(server, connect):
    embedder = connect(server)
    found = embedder.embed(["one", "two"])
    for text, vector in zip(["one", "two"], found, strict=True):
        expected = np.array(numbers(text, 384))
        assert vector.dtype == np.float32
        assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)
    assert embedder.state() == READY
    assert embedder.name == "text-embedding-3-small"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/embeddings"])
def test_the_request_is_the_documented_one(server, connect, path):
    connect(server, path=path).embed_query("hello")
    assert server.asked == [{"model": "text-embedding-3-small", "input": ["hello"], "dimensions": 384}]
    assert server.received[0].path == "/v1/embeddings"
    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_server_without_a_key_is_sent_none(server, connect):
    connect(server, key="").embed_query("hello")
    assert "authorization" not in server.received[0].headers


def test_many_texts_go_in_batches(server, connect):
    assert len(connect(server).embed([f"text {number}" for number in range(70)])) == 70
    assert [len(asked["input"]) for asked in server.asked] == [32, 32, 6]


def test_blank_huge_and_odd_texts_are_sent_as_servers_take_them(server, connect):
    embedder = connect(server)
    assert embedder.embed_query("  ") is None
    embedder.embed(["", "x" * 100_000, "\ud800 half"])
    assert server.asked == [
        {"model": "text-embedding-3-small", "input": [" ", "x" * 2000, "? half"], "dimensions": 384}
    ]


def test_a_model_that_cannot_be_reduced_is_asked_without_it_from_then_on(connect):
    with embedding(width=384, refuses=lambda asked: 400 if "dimensions" in asked else 0) as server:
        embedder = connect(server)
        embedder.embed_query("one")
        embedder.embed_query("two")
        assert ["dimensions" in asked for asked in server.asked] == [True, False, False]


def test_texts_that_are_too_long_for_the_model_are_shortened(connect):
    with embedding(refuses=lambda asked: 413 if len(asked["input"][0]) > 512 else 0) as server:
        embedder = connect(server)
        assert embedder.embed_query("東" * 1000) is not None
        assert embedder.embed_query("hello") is not None
        assert server.asked[-1]["dimensions"] == 384


def test_a_refused_text_does_not_keep_the_next_from_being_asked(connect):
    with embedding(refuses=lambda asked: 400 if "bad" in asked["input"] else 0) as server:
        embedder = connect(server)
        with pytest.raises(EmbedderUnavailable, match="refused the texts with status 400"):
            embedder.embed(["bad"])
        assert "refused" in embedder.state()
        assert embedder.embed_query("good") is not None
        assert embedder.state() == READY


def test_a_model_of_another_size_is_refused_with_what_to_do(connect):
    with embedding(width=768, refuses=lambda asked: 400 if "dimensions" in asked else 0) as server:
        embedder = connect(server)
        with pytest.raises(EmbedderUnavailable, match="gives 768 numbers, and memory keeps 384"):
            embedder.embed_query("hello")
        assert "EMBEDDER_MODEL" in embedder.state()


GARBAGE = {
    "nothing": b"",
    "html": b"<html>Welcome to nginx</html>",
    "binary": b"\x00\xff" * 100,
    "deep": b"[" * 100_000,
    "another shape": b'{"data": "yes"}',
    "no vectors": b'{"data": []}',
    "one too many": data([1.0] * 384, [1.0] * 384).encode(),
    "a wrong index": b'{"data": [{"index": 7, "embedding": [1]}]}',
    "texts for numbers": data(["1"] * 384).encode(),
    "nulls": data([None] * 384).encode(),
    "NaN": data([float("nan")] * 384).encode(),
    "all zeros": data([0.0] * 384).encode(),
    "beyond all numbers": data([1.7e308] * 384).encode(),
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_told_and_is_no_vector(server, connect, body):
    server.script = [Reply(200, body=body)]
    embedder = connect(server)
    with pytest.raises(EmbedderUnavailable, match="embedding server sent|embedding server did not send") as told:
        embedder.embed_query("hello")
    assert embedder.state() == told.value.detail


def test_an_endless_answer_is_cut(server, connect, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_LIMIT", 1000)
    with pytest.raises(EmbedderUnavailable, match="more than 1,000 bytes"):
        connect(server).embed_query("hello")


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "EMBEDDER_API_KEY"), (404, "up to and with /v1"), (302, "302"), (429, "429"), (500, "500")],
)
def test_an_error_is_told_with_what_to_check(server, connect, status, words):
    server.script = [Reply(status, {"Location": "http://127.0.0.1:1/"}, f"your key {KEY} is wrong".encode())]
    embedder = connect(server)
    with pytest.raises(EmbedderUnavailable, match=words) as told:
        embedder.embed_query("hello")
    assert KEY not in told.value.detail + embedder.state()


def test_a_silent_server_is_not_waited_for(server, connect, monkeypatch):
    monkeypatch.setattr(module, "QUERY_SECONDS", 0.2)
    silence = threading.Event()
    server.replies = server.script = [Reply(hold=silence)]
    with pytest.raises(EmbedderUnavailable, match="did not answer within|cannot be reached"):
        connect(server).embed_query("hello")
    silence.set()


def test_a_server_that_is_down_is_told_and_left_alone_for_a_while(server, connect, settings):
    settings.PROVIDER_BREAKER_SECONDS = 3600
    server.script = [Reply(cut=True), Reply(cut=True)]
    embedder = connect(server)
    for _ in range(2):
        with pytest.raises(EmbedderUnavailable, match="cannot be reached"):
            embedder.embed_query("hello")
    assert len(server.received) == 2
    assert "cannot be reached" in embedder.state()


def test_a_connection_that_was_being_closed_is_tried_again(server, connect):
    server.script = [Reply(cut=True)]
    assert connect(server).embed_query("hello") is not None


def test_a_server_that_listens_nowhere_is_told(connect):
    with embedding() as server:
        embedder = connect(server)
    with pytest.raises(EmbedderUnavailable, match="cannot be reached: .*refused"):
        embedder.embed_query("hello")


def test_a_server_that_comes_back_is_asked_again(server, connect, settings):
    settings.PROVIDER_BREAKER_SECONDS = 0
    server.script = [Reply(503), vectors(["hello"], 384)]
    embedder = connect(server)
    with pytest.raises(EmbedderUnavailable):
        embedder.embed_query("hello")
    assert embedder.embed_query("hello") is not None
    assert embedder.state() == READY


@pytest.mark.parametrize("key", ["sk-one\ntwo", "sk-\x00three"])
def test_a_key_that_cannot_be_sent_is_not_told(server, connect, key):
    with pytest.raises(EmbedderUnavailable, match="EMBEDDER_API_KEY has characters") as told:
        connect(server, key=key).embed_query("hello")
    assert "sk-" not in told.value.detail
    assert server.received == []


def test_the_settings_choose_the_server(server, settings):
    settings.EMBEDDER, settings.EMBEDDER_URL, settings.EMBEDDER_MODEL = "openai", server.url(path="/v1"), "mine"
    embedder = embedders.current()
    assert isinstance(embedder, OpenAIEmbedder)
    assert (embedder.name, embedder.dimensions) == ("mine", 384)


@pytest.mark.parametrize("url", ["ftp://example.com/v1", "example.com/v1", "http://", "http://[::1"])
def test_an_address_that_cannot_be_asked_is_found_at_the_start(settings, url):
    settings.EMBEDDER, settings.EMBEDDER_URL = "openai", url
    assert "memory.E001" in [found.id for found in run_checks()]
    settings.EMBEDDER = "local"
    assert "memory.E001" not in [found.id for found in run_checks()]
