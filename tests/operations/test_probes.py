"""What machines ask of a web process, over real HTTP, with the servers there and away."""

import asyncio
import signal
import threading

import httpx
import psutil
import pytest

from config import probes
from tests.operations.metering import BEARER, TOKEN, scraped
from tests.servers.stack import eventually, running

READY = {"postgres": "ok", "valkey": "ok", "migrations": "ok"}
PROBED = {"Host": "10.2.3.4:8000"}  # as a probe speaks to a pod: plain HTTP, an address that nobody allowed


@pytest.fixture(scope="module")
def web():
    """A stack with one web of one thread."""
    with running(workers=0, env={"METRICS_TOKEN": TOKEN, "WEB_THREADS": "1"}) as stack:
        yield stack


def ask(stack, path, **options):
    return httpx.get(f"{stack.base_url}{path}", timeout=20, **options)


def parts(stack):
    answer = ask(stack, "/readyz")
    assert answer.status_code == (200 if answer.json()["parts"] == READY else 503)
    return answer.json()["parts"]


def unready(stack, **lacking):
    eventually(lambda: parts(stack) == READY | lacking, f"it is unready: {lacking}")
    assert ask(stack, "/healthz").status_code == 200, "the process lives all the same"


def ready(stack):
    eventually(lambda: parts(stack) == READY, "it is ready again")


def test_probes_are_answered_whatever_name_they_call_and_without_a_credential(web):
    assert ask(web, "/v1/ai/health", headers=PROBED).status_code == 400, "that name is no other's to call"
    for path, body in {"/healthz": {"status": "ok"}, "/readyz": {"status": "ready", "parts": READY}}.items():
        for found in (path, f"{path}/"):
            answer = ask(web, found, headers=PROBED)
            assert (answer.status_code, answer.json()) == (200, body)
            assert answer.headers["Cache-Control"] == "no-store"
            assert not answer.cookies
        head = httpx.head(f"{web.base_url}{path}")
        assert (head.status_code, head.content) == (200, b"")
        refused = httpx.post(f"{web.base_url}{path}", json={})
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")
    assert ask(web, "/healthz/more").status_code == 404


async def test_who_has_all_it_takes_on_refuses_one_more_and_answers_probes(monkeypatch):
    monkeypatch.setattr(probes, "MOST", 1)
    under_way, goes_on = asyncio.Event(), asyncio.Event()

    async def application(scope, receive, send):
        under_way.set()
        await goes_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def asked(path):
        told = []

        async def send(message):
            told.append(message)

        await web(scope={"path": path, "method": "GET", "headers": []}, receive=None, send=send)
        return told[0]["status"], dict(told[0]["headers"])

    web = probes.Probes(application)
    first = asyncio.create_task(asked("/v1/ai/chat"))
    await under_way.wait()
    status, headers = await asked("/v1/ai/chat")
    assert (status, headers[b"retry-after"], headers[b"content-type"]) == (503, b"1", b"application/problem+json")
    assert (await asked("/healthz"))[0] == 200
    goes_on.set()
    assert (await first)[0] == 200
    assert (await asked("/v1/ai/chat"))[0] == 200, "there is room again"


def test_without_valkey_it_lives_is_not_ready_and_still_tells_what_it_can(web):
    web.stop("valkey")
    unready(web, valkey="away")
    number = eventually(lambda: down(web, "valkey"), "the scrape says so")
    assert number("countersign_up", part="postgres") == 1
    web.start("valkey")
    ready(web)


def test_without_postgres_it_lives_is_not_ready_and_still_tells_what_it_can(web):
    web.stop("postgres")
    unready(web, postgres="away")
    number = eventually(lambda: down(web, "postgres"), "the scrape says so")
    assert number("countersign_up", part="valkey") == 1
    assert number("countersign_http_requests_total", route="/v1/ai/health") > 0
    web.start("postgres")
    ready(web)


def down(stack, part):
    number = scraped(stack.base_url)
    return None if number("countersign_up", part=part) else number


def test_a_database_that_hangs_is_told_in_time_though_every_thread_waits_for_it(web):
    ask(web, "/v1/ai/companions", headers=web.headers)  # the one thread has its connection now
    web.freeze("postgres")
    backends = psutil.Process(web.pid("postgres")).children()
    for backend in backends:
        backend.suspend()
    try:
        waiting = threading.Thread(target=patient, args=(web,))
        waiting.start()
        unready(web, postgres="slow")
    finally:
        for backend in backends:
            backend.resume()
        web.thaw("postgres")
    waiting.join()
    ready(web)


def patient(stack):
    httpx.get(f"{stack.base_url}/v1/ai/companions", headers=stack.headers, timeout=60)


def test_a_database_that_lacks_a_migration_is_not_ready_until_it_has_it(web):
    last = "SELECT max(id) FROM django_migrations"
    [(app, name)] = web.sql(f"DELETE FROM django_migrations WHERE id = ({last}) RETURNING app, name")
    web.restart("web1")
    unready(web, migrations="pending")
    web.sql("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())", app, name)
    ready(web)


def test_who_brings_no_token_reads_no_metrics(web):
    for brought in (None, f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \xe9", "Bearer"):
        refused = ask(web, "/metrics", headers={"Authorization": brought.encode("latin-1")} if brought else {})
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert "countersign_" not in refused.text
    assert "countersign_runs" in ask(web, "/metrics", headers=BEARER).text
    newer = ask(web, "/metrics", headers=BEARER | {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert newer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert newer.text.endswith("# EOF\n")


def test_behind_tls_probes_are_not_redirected_and_without_a_token_there_are_no_metrics():
    with running(workers=0, env={"HTTPS": "1"}) as stack:
        assert ask(stack, "/v1/ai/health").status_code == 301
        assert ask(stack, "/healthz").status_code == 200
        assert parts(stack) == READY
        assert ask(stack, "/metrics", headers=BEARER).status_code == 404


def test_a_web_that_is_told_to_stop_is_unready_before_it_stops():
    with running(workers=0, env={"WEB_DRAIN_SECONDS": "60"}) as stack:
        web = stack.children["web1"]
        assert ask(stack, "/readyz").status_code == 200
        web.send_signal(signal.SIGTERM)
        answer = eventually(lambda: ask(stack, "/readyz").status_code == 503 and ask(stack, "/readyz"), "it drains")
        assert answer.json() == {"status": "draining"}
        assert ask(stack, "/healthz").status_code == 200
        assert ask(stack, "/v1/ai/health").status_code == 200, "what comes all the same is answered"
        web.send_signal(signal.SIGTERM)
        assert web.wait(30) == -signal.SIGTERM
        del stack.children["web1"]
