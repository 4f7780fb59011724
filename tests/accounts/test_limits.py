"""Limits: exact under concurrency, told in headers, and safe when Valkey is away."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import redis

from accounts import limits
from accounts.limits import hit
from core import valkey
from core.errors import Unavailable
from tests.cast import PASSWORD, Api

pytestmark = pytest.mark.urls("tests.accounts.urls")


@pytest.fixture(autouse=True)
def _closed_breaker():
    limits.breaker.worked()
    yield
    limits.breaker.worked()


@pytest.fixture
def no_valkey(monkeypatch):
    """A port at which nothing listens, in the place of Valkey."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(valkey, "_quick", redis.Redis(port=port, socket_connect_timeout=0.25, retry=None))


@pytest.fixture
def silent_valkey(monkeypatch):
    """A server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        client = redis.Redis(port=server.getsockname()[1], socket_timeout=0.25, socket_connect_timeout=0.25, retry=None)
        monkeypatch.setattr(valkey, "_quick", client)
        yield server


def asked(server):
    """How many connections were made to a server that has accepted none of them yet."""
    server.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def test_of_a_hundred_at_once_exactly_the_limit_is_allowed():
    for trial in range(3):
        barrier = threading.Barrier(100)

        def one(_: int, trial: int = trial, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return hit("login", limit=10, who=f"burst{trial}", fail_closed=True).allowed

        with ThreadPoolExecutor(100) as threads:
            assert sum(threads.map(one, range(100))) == 10


def test_a_verdict_tells_what_is_left_and_when_all_is_free_again():
    verdicts = [hit("chat", limit=2, who="a", fail_closed=False) for _ in range(3)]
    assert [(one.allowed, one.remaining) for one in verdicts] == [(True, 1), (True, 0), (False, 0)]
    assert all(0 < one.reset <= 60 for one in verdicts)
    assert "Retry-After" in verdicts[2].headers
    assert "Retry-After" not in verdicts[1].headers
    assert hit("chat", limit=2, who="b", fail_closed=False).allowed
    assert hit("read", limit=2, who="a", fail_closed=False).allowed


def test_a_window_ends_and_refusals_do_not_lengthen_it():
    assert hit("chat", limit=1, who="a", fail_closed=False, window_ms=200).allowed
    deadline = time.monotonic() + 5
    while not hit("chat", limit=1, who="a", fail_closed=False, window_ms=200).allowed:
        assert time.monotonic() < deadline
    assert valkey.client().pttl("limit:chat:a") > 0


def test_a_counter_without_an_end_gets_one():
    valkey.client().set("limit:chat:a", 5)
    assert hit("chat", limit=1, who="a", fail_closed=False).allowed
    assert valkey.client().pttl("limit:chat:a") > 0


def test_a_limit_works_after_valkey_forgot_the_script():
    hit("chat", limit=5, who="a", fail_closed=False)
    valkey.client().script_flush()
    assert hit("chat", limit=5, who="a", fail_closed=True).remaining == 3


def test_the_headers_stand_on_every_answer_and_the_limit_is_held(api, settings):
    settings.LIMITS = {**settings.LIMITS, "read": 2}
    answers = [api.get("/v1/whoami") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert all(answer["RateLimit-Limit"] == "2" and 0 < int(answer["RateLimit-Reset"]) <= 60 for answer in answers)
    assert answers[2].json()["code"] == "rate_limited"
    assert answers[2]["Retry-After"] == answers[2]["RateLimit-Reset"]


def test_a_limit_is_counted_for_each_key_whatever_headers_claim(member, client_of, settings):
    settings.LIMITS = {**settings.LIMITS, "read": 1}
    one, other = client_of(member), client_of(member)
    assert one.get("/v1/whoami").status_code == 200
    assert one.get("/v1/whoami", headers={"X-Forwarded-For": "1.2.3.4", "X-Real-Ip": "5.6.7.8"}).status_code == 429
    assert other.get("/v1/whoami").status_code == 200


@pytest.mark.usefixtures("no_valkey")
def test_without_valkey_reads_go_on_and_what_must_be_careful_is_refused(api, member):
    assert api.get("/v1/whoami").status_code == 200
    refusal = api.get("/v1/careful")
    assert (refusal.status_code, refusal.json()["code"]) == (503, "unavailable")
    assert refusal["Retry-After"] == "1"
    login = Api().post("/v1/auth/login", {"email": member.user.email, "password": PASSWORD})
    assert login.status_code == 503
    assert api.post("/v1/auth/ticket").status_code == 503


def test_a_silent_valkey_is_waited_for_once_and_not_by_everybody(silent_valkey, monkeypatch):
    monkeypatch.setattr(limits, "breaker", limits._Breaker(pause=3600))
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda n: hit("chat", limit=1, who="a", fail_closed=False), range(200)))
    assert all(verdict.allowed for verdict in verdicts)
    assert 1 <= asked(silent_valkey) <= 8, "those who came before the first had waited in vain"
    with pytest.raises(Unavailable):
        hit("login", limit=1, who="a", fail_closed=True)


def test_the_breaker_closes_again_when_valkey_is_back(monkeypatch):
    monkeypatch.setattr(limits, "breaker", limits._Breaker(pause=0.05))
    working = valkey.quick()
    monkeypatch.setattr(valkey, "_quick", redis.Redis(port=1, socket_connect_timeout=0.25, retry=None))
    assert hit("chat", limit=5, who="a", fail_closed=False).remaining == 5
    monkeypatch.setattr(valkey, "_quick", working)
    deadline = time.monotonic() + 5
    while hit("chat", limit=5, who="a", fail_closed=False).remaining == 5:
        assert time.monotonic() < deadline
    assert hit("chat", limit=5, who="a", fail_closed=True).allowed


def test_when_the_breakers_pause_is_over_one_caller_tries_and_the_others_are_spared():
    breaker = limits._Breaker(pause=0.05)
    assert breaker.lets_through()
    breaker.failed()
    deadline = time.monotonic() + 5
    while not breaker.lets_through():
        assert time.monotonic() < deadline
    assert not breaker.lets_through()


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("", "unknown"),
    ],
)
def test_an_address_is_counted_by_what_one_customer_has(rf, peer, counted):
    assert limits.address(rf.get("/", REMOTE_ADDR=peer)) == counted
