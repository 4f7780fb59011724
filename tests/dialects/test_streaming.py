"""Streams of every dialect hold no connection to the database: not between two queries, and none while text comes."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from benchmarks.answers import NAME
from benchmarks.figures import Plan
from benchmarks.speaking import DOORS, SAID, Speaker
from config.stack import web
from tests.servers.stack import Stack, eventually, free_port

STREAMS, THREADS = 6, 2
TALK = "[[rehearse: tokens=400 interval=30]] Hello"
MINE = "FROM pg_stat_activity WHERE application_name = 'streaming'"


@pytest.fixture(scope="module")
def speaker(live: Stack) -> Iterator[Speaker]:
    """The demo's member at a web process with few threads, whose connections bear its name."""
    port = live.ports["streaming"] = free_port()
    env = {**live.env, "PGAPPNAME": "streaming", "WEB_THREADS": str(THREADS)}
    live.programs["streaming"] = web("streaming", "127.0.0.1", port, env)
    live.start("streaming")
    live.wait("streaming")
    yield Speaker(f"http://127.0.0.1:{port}", live.folder / "demo.json")
    live.stop("streaming")


def read(stream: Iterator[bytes], words: int) -> None:
    """Read on until so many words more have come."""
    seen = b""
    while seen.count(b"word") < words:
        seen += next(stream)


@pytest.mark.parametrize("dialect", DOORS)
def test_a_stream_holds_no_connection_to_the_database(live: Stack, speaker: Speaker, dialect):
    round_ = speaker.round(dialect, Plan(STREAMS, 1, 0, STREAMS))
    with ExitStack() as open_:
        client = open_.enter_context(httpx.Client(headers=round_.headers, timeout=30, trust_env=False))
        streams = []
        for name in round_.names:
            body = json.loads(json.dumps(round_.body).replace(SAID, TALK).replace(NAME, name))
            answer = open_.enter_context(client.stream("POST", round_.url.replace(NAME, name), json=body))
            assert answer.status_code == 200, answer.read()
            streams.append(answer.iter_raw())
        for stream in streams:
            read(stream, 1)
        assert live.sql(f"SELECT count(*) {MINE}")[0][0] <= THREADS, "they are the threads'"
        eventually(lambda: live.sql(f"SELECT count(*) {MINE} AND xact_start IS NOT NULL") == [(0,)], "none is in use")
        live.sql(f"SELECT pg_terminate_backend(pid) {MINE}")
        eventually(lambda: live.sql(f"SELECT count(*) {MINE}") == [(0,)], "there are no connections any more")
        for stream in streams:
            read(stream, 5)
        assert live.sql(f"SELECT count(*) {MINE}") == [(0,)], "text comes without one"
