"""Counting in memory and in Valkey: nothing is lost, nothing waits, and what others count is added to it."""

import os
import subprocess
import sys
import threading

import pytest
from django.conf import settings
from redis.exceptions import ConnectionError as ConnectionLost

from core import measures, metrics, valkey
from core.metrics import Counter, Histogram

ASKED = Counter("asked_total", "What was asked.", ("by",))
TOOK = Histogram("took_seconds", "How long it took.", (0.1, 1.0))


@pytest.fixture
def sums():
    """What is stored, read anew at each call; begins at nothing."""
    metrics.flush()
    valkey.client().delete(metrics.KEY)

    def read():
        metrics.flush()
        return metrics.read(valkey.client().hgetall(metrics.KEY).items())

    yield read
    valkey.client().delete(metrics.KEY)


def test_what_many_threads_count_is_added_up(sums):
    def count():
        for _ in range(1_000):
            ASKED.add("person")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    ASKED.add("agent", by=5)
    assert sums()["asked_total"] == {("person",): {"": 8_000}, ("agent",): {"": 5}}


def test_what_other_processes_count_is_added_to_it(sums):
    ASKED.add("person")
    program = (
        "import django; django.setup()\n"
        "from core import metrics\n"
        "metrics.Counter('asked_total', '', ('by',)).add('person', by=2)\n"
    )  # it stores that when it ends, if not before
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
    )
    assert sums()["asked_total"] == {("person",): {"": 3}}


def test_what_took_long_falls_into_its_bucket_and_the_sum_is_kept_to_the_microsecond(sums):
    for seconds in (0.0, 0.1, 0.100001, 1.0, 7.5, -1.0):
        TOOK.observe(seconds)
    assert sums()["took_seconds"] == {(): {"0": 3, "1": 2, "2": 1, "sum": 8_700_001}}


def test_while_valkey_is_away_counts_are_kept_and_added_later(sums, monkeypatch):
    ASKED.add("person")
    with monkeypatch.context() as away:
        away.setattr(metrics, "_store", refused)
        metrics.flush()
        ASKED.add("person")
        metrics.flush()
    assert sums()["asked_total"] == {("person",): {"": 2}}
    assert sums()["asked_total"] == {("person",): {"": 2}}, "and not twice"


def refused(taken):
    raise ConnectionLost


def test_what_is_none_of_ours_in_the_hash_is_passed_over(sums):
    valkey.client().hset(metrics.KEY, mapping={"no json": 1, '["asked_total","person",""]': "x", "[]": 3})
    ASKED.add("agent")
    assert sums()["asked_total"][("agent",)] == {"": 1}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (r"^v1/ai/^sessions/(?P<session_id>[0-9a-fA-F-]{36})/?$", "/v1/ai/sessions/<session_id>"),
        (r"admin/^chat/(?P<pk>[^/]+)/change/$", "/admin/chat/<pk>/change"),
        ("^", "/"),
    ],
)
def test_a_route_is_told_without_what_was_asked_for(pattern, path):
    assert measures.template(pattern) == path
