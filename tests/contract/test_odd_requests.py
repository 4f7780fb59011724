"""Verbs, paths and headers that no client of ours sends: each is a plain refusal, and nothing of it comes back."""

import itertools

import pytest
from django.test import Client

from tests.cast import Api
from tests.contract.conftest import World
from tests.contract.operations import OPERATIONS, check_problem, rows, send

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@every_operation
def test_an_unknown_verb_is_refused_and_told_which_are_known(world: World, operation):
    before = rows()
    served = {one.method for one in OPERATIONS if one.path == operation.path}
    allowed = {*served, "OPTIONS"} | ({"HEAD"} if "GET" in served else set())
    for verb in ("TRACE", "CONNECT", "PROPFIND", "PURGE", "FOO"):
        answer = world.admin.api.generic(verb, world.admin.url(operation))
        check_problem(answer, 405)
        assert set(answer.headers["Allow"].split(", ")) == allowed
    assert rows() == before


@every_operation
def test_a_verb_that_the_path_does_not_serve_is_refused_and_told_which_are(world: World, operation):
    before = rows()
    served = {one.method for one in OPERATIONS if one.path == operation.path}
    for verb in {"GET", "POST", "PUT", "PATCH", "DELETE"} - served:
        for header in ({}, {"X-HTTP-Method-Override": operation.method}, {"X-HTTP-Method": operation.method}):
            answer = world.admin.api.generic(
                verb, world.admin.url(operation), b"{}", "application/json", headers=header
            )
            check_problem(answer, 405)
            assert served <= set(answer.headers["Allow"].split(", ")) <= served | {"OPTIONS", "HEAD"}
    assert rows() == before


@every_operation
def test_no_header_makes_one_verb_another(world: World, operation):
    before = rows()
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = send(
            world.admin.api,
            operation,
            world.admin.url(operation),
            operation.least_body(world.examples),
            headers={header: "DELETE"},
        )
        check_problem(answer, 405)
    assert rows() == before


ONCE = {f"POST /v1/ai/memory/{{memory_id}}/{verb}" for verb in ("accept", "undo")}


@pytest.mark.parametrize(
    "operation",
    [
        # Those with a body are sent one that is refused.
        pytest.param(one, marks=[] if one.body else [pytest.mark.proves(client="Django's test client")])
        for one in OPERATIONS
    ],
    ids=str,
)
def test_a_path_works_with_and_without_a_slash_and_never_redirects(world: World, operation):
    path, body = world.admin.url(operation), {"unknown": 1}
    for which in (path, f"{path}/"):
        answer = send(world.admin.api, operation, which, body if operation.body else None)
        assert answer.status_code == 400 if operation.body else answer.status_code < 300, (which, answer.content)
        if operation.method == "DELETE" or str(operation) in ONCE:
            return
    for strange in ("/{}", "{}//", "{};a=1", "{}.", "{}/.", "{}%20", "{}%0a", "{}x"):
        check_problem(send(world.admin.api, operation, strange.format(path), body if operation.body else None), 404)
    check_problem(send(world.admin.api, operation, path.upper(), body if operation.body else None), 404)


PATH_TRICKS = [
    "/v1", "/v1/", "/v1/ai", "/v1/ai/", "/v1//ai/info", "//v1/ai/info", "/v1/ai/../ai/info", "/api", "/api/x",
    "/v1/ai/%2e%2e/ai/info", "/v1/ai/./info", "/v1/ai/info;jsessionid=1", "/v1/ai/info.", "/v1/ai/info.json",
    "/V1/AI/INFO", "/v1/ai/info%00", "/v1/ai/info%0a", "/v1/ai/info%20", "/v1/ai/%ff", "/v1/ai/info\\", "/v2/ai/info",
    "/v1/ai/runs/not-a-uuid", "/v1/ai/sessions/1", "/v1/ai/sessions/{id}x", "/v1/ai/sessions/%7Bid%7D", "/.env",
    "/v1/ai/companion//chat", "/v1/ai/companion/a b/chat", "/v1/ai/companion/%2e%2e/chat", "/v1/ai/companion/ä/chat",
    "/v1/ai/companion/" + "x" * 61 + "/chat", "/etc/passwd", "/v1/ai/" + "x" * 5000, "/v1/ai/" + "a/" * 1000,
    "/static/../settings.py", "/v1/ai/sessions/00000000-0000-0000-0000-00000000000g", "/v1/ai/🙂", "/v1/ai/info/info",
]  # fmt: skip


@pytest.mark.parametrize("path", PATH_TRICKS, ids=lambda path: path[:60])
def test_an_unknown_path_is_a_problem(world: World, path):
    for api, verb in itertools.product((world.me.api, Api(), Client()), ("GET", "POST", "DELETE")):
        assert check_problem(api.generic(verb, path, b"{}", "application/json"), 404)["code"] == "not_found"


ODD_HEADERS = [
    {"Accept-Language": "x" * 5000},
    {"Accept-Language": "../../etc/passwd,\xff;q=nan"},
    {"Accept": "x" * 5000},
    {"Accept": "text/html;q=abc, */*"},
    {"Accept-Encoding": "\xff\xfe"},
    {"X-Forwarded-For": "<script>, 999.1.1.1"},
    {"X-Forwarded-Host": "evil.example"},
    {"X-Forwarded-Proto": "javascript"},
    {"X-Forwarded-Port": "99999999"},
    {"Forwarded": 'for="_evil";host=evil.example'},
    {"Cookie": "sessionid=\x01; csrftoken=; ="},
    {"Origin": "null"},
    {"Referer": "javascript:alert(1)"},
    {"User-Agent": "x" * 8000},
    {"X-Request-Id": "evil\x7f" + "x" * 70},
    {"If-Modified-Since": "yesterday"},
    {"Range": "bytes=9-1"},
    {"Content-Length": "abc"},
    {"Transfer-Encoding": "nonsense"},
]


@pytest.mark.parametrize("headers", ODD_HEADERS, ids=lambda headers: next(iter(headers)))
def test_odd_headers_break_nothing_and_are_not_repeated(world: World, headers):
    answer = world.me.api.get("/v1/ai/sessions", headers=headers)
    assert answer.status_code in (200, 400, 406), answer.content
    told = answer.content.decode() + str(answer.headers)
    assert not any(value in told for value in ("evil", "<script>", "javascript", "x" * 60))


@pytest.mark.parametrize("host", ["evil.example", "localhost:99999x", "a b", "", "[::1", "localhost@evil", "x" * 5000])
def test_a_strange_host_is_refused_and_not_repeated(world: World, host):
    for path in ("/v1/ai/info", "/v1/ai/nothing", "/api/docs"):
        answer = world.me.api.get(path, headers={"Host": host})
        assert answer.status_code < 500
        assert "evil" not in answer.content.decode() + str(answer.headers)
