"""What arrives at the real web process on the wire: bodies of every framing, strange verbs, paths and headers."""

import json
from collections.abc import Iterator

import pytest

from tests.contract.operations import check_problem
from tests.contract.wire import Answer, chunked, counts, exchange, head
from tests.servers.stack import Stack, eventually

PREFER, CHAT = "/v1/ai/preferences/model", "/v1/ai/chat"
JSON, CHUNKED = "Content-Type: application/json", "Transfer-Encoding: chunked"


@pytest.fixture(autouse=True)
def _nothing_is_written_and_the_process_lives(live: Stack, request) -> Iterator[None]:
    before, pid, told = counts(live), live.pid("web1"), len(live.log("web1"))
    yield
    if request.node.name != "test_a_chunked_message_is_answered":
        assert counts(live) == before
    healthy = exchange(live, head(live, "GET /v1/ai/health", key=False))
    assert healthy is not None
    assert (healthy.status_code, live.pid("web1")) == (200, pid)
    assert "Traceback" not in (log := live.log("web1")[told:]), log[log.index("Traceback") :]


def problem(answer: Answer | None, status: int | None = None) -> dict:
    assert answer is not None
    return check_problem(answer, status)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_chunked_body_without_a_length_is_read(live: Stack, size):
    body = json.dumps({"model": "rehearsal-reasoning"}).encode()
    answer = exchange(live, head(live, f"PUT {PREFER}", JSON, CHUNKED), chunked(body, size))
    assert answer is not None
    assert (answer.status_code, answer.json()["model"]) == (200, "rehearsal-reasoning")
    answer = exchange(live, head(live, f"PUT {PREFER}", JSON, CHUNKED), chunked(b'{"model": null}', size))
    assert answer is not None
    assert answer.json()["model"] is None


def test_an_empty_chunked_body_is_no_defaults(live: Stack):
    for path in (CHAT, "/v1/ai/sessions"):
        answer = exchange(live, head(live, f"POST {path}", JSON, CHUNKED), b"0\r\n\r\n")
        assert problem(answer, 400)["errors"]


def test_a_chunked_body_is_checked_as_any_other(live: Stack):
    for body in (b"[]", b'{"model": 5}', b'{"model": "a", "model": "b"}', b'{"model": "\\u0000"}', b"\xff"):
        problem(exchange(live, head(live, f"PUT {PREFER}", JSON, CHUNKED), chunked(body, 3)), 400)


@pytest.mark.parametrize(("line", "limit"), [(f"PUT {PREFER}", 1_000_000), (f"POST {CHAT}", 12_000_000)])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_over_the_limit_is_refused_however_it_is_framed(live: Stack, line, limit, framing):
    body = b'{"message": "' + b"x" * limit + b'"}'
    if framing == "length":
        answer = exchange(live, head(live, line, JSON, f"Content-Length: {len(body)}"), body)
    else:
        answer = exchange(live, head(live, line, JSON, CHUNKED), chunked(body, 65_536))
    assert problem(answer, 413)["code"] == "too_large"


def test_a_length_over_the_limit_is_refused_before_the_body_comes(live: Stack):
    answer = exchange(live, head(live, f"POST {CHAT}", JSON, "Content-Length: 12000001"))
    assert problem(answer, 413)["code"] == "too_large"


def test_a_chunked_body_that_never_ends_is_cut_at_the_limit(live: Stack):
    def forever() -> Iterator[bytes]:
        for _ in range(400):
            yield b"10000\r\n" + b" " * 65_536 + b"\r\n"

    answer = exchange(live, head(live, f"POST {CHAT}", JSON, CHUNKED), forever())
    assert problem(answer, 413)["code"] == "too_large"


def test_a_length_shorter_than_the_body_gives_no_part_of_it_a_meaning(live: Stack):
    body = b'{"companion": "smart-home", "title": "x"}'
    answer = exchange(live, head(live, "POST /v1/ai/sessions", JSON, f"Content-Length: {len(body) - 5}"), body)
    assert problem(answer, 400)["code"] == "bad_json"


def test_a_length_longer_than_the_body_is_no_request(live: Stack):
    body = b'{"companion": "smart-home"}'
    request = head(live, "POST /v1/ai/sessions", JSON, f"Content-Length: {len(body) + 5}")
    assert exchange(live, request, body, half_close=True) is None


BROKEN_FRAMING = {
    "a negative length": ["Content-Length: -1"],
    "a length in words": ["Content-Length: ten"],
    "a huge length": [f"Content-Length: {10**30}"],
    "two lengths": ["Content-Length: 27", "Content-Length: 28"],
    "a length and chunks": ["Content-Length: 27", CHUNKED],
    "an unknown coding": ["Transfer-Encoding: nonsense"],
    "a coding twice": [CHUNKED, CHUNKED],
    "a gzip body": ["Content-Encoding: gzip", "Content-Length: 27"],
}


@pytest.mark.parametrize("framing", BROKEN_FRAMING)
def test_broken_framing_is_refused_and_smuggles_nothing(live: Stack, framing):
    body = b"\x1f\x8b" + b"0" * 25
    answer = exchange(live, head(live, "POST /v1/ai/sessions", JSON, *BROKEN_FRAMING[framing]), body, half_close=True)
    assert answer is None or 400 <= answer.status_code < 500


@pytest.mark.parametrize("verb", ["TRACE", "PROPFIND", "PURGE", "LINK", "SEARCH"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/ai/chat", {"POST", "OPTIONS"}), ("/v1/ai/health/", {"GET", "HEAD", "OPTIONS"})],
)
def test_an_unknown_verb_is_refused_and_told_which_are_known(live: Stack, verb, path, allowed):
    answer = exchange(live, head(live, f"{verb} {path}"))
    problem(answer, 405)
    assert answer is not None
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_a_verb_that_is_none_is_no_fault_of_ours(live: Stack):
    for line in ("FOO /v1/ai/info", "get /v1/ai/info", "GET\t/v1/ai/info", "/v1/ai/info", "GET", "\x00 /"):
        answer = exchange(live, head(live, line), half_close=True)
        assert answer is None or 400 <= answer.status_code < 500, line


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_makes_one_verb_another(live: Stack, header):
    answer = exchange(live, head(live, "POST /v1/ai/sessions", JSON, f"{header}: DELETE", "Content-Length: 2"), b"{}")
    problem(answer, 405)


@pytest.mark.parametrize(
    "target",
    [
        "//v1/ai/info", "/v1//ai/info", "/v1/ai/../ai/info", "/v1/ai/%2e%2e/ai/info", "/v1/ai/info;x=1",
        "/v1/ai/info.", "/V1/AI/info", "/v1/ai/%00", "/v1/ai/%ff", "/v1/ai/\xff", "/v1/ai/info%0d%0aX-Evil:%20evil",
        "/" + "a" * 60_000, "/static/../../settings.py", "/static/%2e%2e/%2e%2e/etc/passwd", "/..", "/%",
        "/v1/ai/info\\..\\info", "/v1/ai/info%u0041",
    ],
    ids=lambda target: target[:40],
)  # fmt: skip
def test_tricks_with_paths_find_nothing(live: Stack, target):
    answer = exchange(live, head(live, f"GET {target}"))
    assert answer is not None
    assert answer.status_code in (400, 404, 414), answer.content
    assert "X-Evil" not in answer.headers
    if target.startswith(("/v1", "//")) and answer.status_code == 404:
        assert problem(answer)["code"] == "not_found"


@pytest.mark.parametrize("target", ["*", "http://evil.example/v1/ai/info", "evil.example:443", "?a=1", "v1/ai/info"])
def test_a_target_of_another_form_is_no_fault_of_ours(live: Stack, target):
    answer = exchange(live, head(live, f"GET {target}"), half_close=True)
    assert answer is None or answer.status_code < 500
    assert answer is None or b"evil" not in answer.content


@pytest.mark.parametrize("path", ["/v1/ai/info", "/v1/ai/info/", "/v1/ai/sessions", "/v1/ai/sessions/"])
def test_a_path_works_with_and_without_a_slash_and_never_redirects(live: Stack, path):
    answer = exchange(live, head(live, f"GET {path}"))
    assert answer is not None
    assert answer.status_code == 200


ODD_HEADERS = {
    "a huge header": "X-Long: " + "x" * 60_000,
    "a megabyte of headers": "X-Long: " + "x" * 1_000_000,
    "many headers": "\r\n".join(f"X-{number}: y" for number in range(3000)),
    "a long token": "Authorization: Bearer " + "x" * 50_000,
    "no name": ": evil",
    "a space in a name": "X Evil: evil",
    "a folded line": "X-Folded: a\r\n evil",
    "a NUL": "X-Nul: a\x00evil",
    "bytes that are no UTF-8": "X-Odd: \xff\xfe",
    "a strange language": "Accept-Language: " + "\xff," * 300,
    "a strange forward": "X-Forwarded-For: evil, ::1\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: evil",
    "a second host": "Host: evil.example",
    "an upgrade to nothing": "Upgrade: evil\r\nConnection: Upgrade",
    "an upgrade to HTTP/2": "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    "an expectation": "Expect: evil",
    "a strange request id": "X-Request-Id: evil\x7f",
    "a strange range": "Range: bytes=evil",
    "a strange cookie": "Cookie: sessionid=evil; csrftoken=\xff; ;=;",
    "a strange date": "If-Modified-Since: evil",
}


@pytest.mark.parametrize("what", ODD_HEADERS)
def test_odd_headers_break_nothing_and_are_not_repeated(live: Stack, what):
    answer = exchange(live, head(live, "GET /v1/ai/info", ODD_HEADERS[what]), half_close=True)
    assert answer is None or answer.status_code < 500
    assert answer is None or "evil" not in str(answer.headers) + answer.content.decode(errors="replace")


@pytest.mark.parametrize("host", ["evil.example", "localhost@evil", "", "[::1", "local host"])
@pytest.mark.parametrize("path", ["/v1/ai/info", "/v1/ai/nothing", "/api/docs", "/admin/login/"])
def test_a_host_that_is_not_ours_is_refused_and_not_repeated(live: Stack, host, path):
    raw = head(live, f"GET {path}").replace(b"Host: localhost", f"Host: {host}".encode())
    answer = exchange(live, raw)
    assert answer is not None
    assert answer.status_code < 500
    assert answer.status_code == 400 or not host
    assert "evil" not in str(answer.headers) + answer.content.decode(errors="replace")
    if path.startswith("/v1") and host:
        problem(answer, 400)


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/ai/health HTTP/9.9\r\n\r\n", b"GET /v1/ai/health\r\n\r\n", b"A" * 100_000, b"\x00" * 1000,
    ],
    ids=lambda raw: repr(raw[:20]),
)  # fmt: skip
def test_what_is_not_http_is_no_fault_of_ours(live: Stack, raw):
    answer = exchange(live, raw, half_close=True)
    assert answer is None or answer.status_code < 500


def test_http_1_0_is_answered(live: Stack):
    answer = exchange(live, b"GET /v1/ai/health HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert answer is not None
    assert answer.status_code == 200


def test_many_keys_and_items_are_refused_at_once(live: Stack):
    keys = json.dumps({f"k{number}": 1 for number in range(60_000)}).encode()
    items = json.dumps({"tools_allowed": ["a"] * 150_000}).encode()
    for line, body in ((f"PUT {PREFER}", keys), ("PUT /v1/ai/companions/smart-home/config", items)):
        answer = exchange(live, head(live, line, JSON, f"Content-Length: {len(body)}"), body)
        problem(answer, 400)


def test_a_chunked_message_is_answered(live: Stack):
    body = json.dumps({"message": "Hello", "companion": "smart-home", "model": "t3-i0"}).encode()
    answer = exchange(live, head(live, f"POST {CHAT}", JSON, CHUNKED), chunked(body, 5))
    assert answer is not None
    assert (answer.status_code, answer.json()["response"]) == (200, "tok 0 tok 1 tok 2 ")


def test_the_pages_of_the_schema_load_all_that_they_need(live: Stack):
    page = exchange(live, head(live, "GET /api/docs", key=False))
    assert page is not None
    links = {part.split('"')[0] for part in page.content.decode().split('"/static/')[1:]}
    assert len(links) >= 4, page.content
    for link in links:
        asset = exchange(live, head(live, f"GET /static/{link}", key=False))
        assert asset is not None
        assert (asset.status_code, len(asset.content) > 200) == (200, True), link
    schema = eventually(lambda: exchange(live, head(live, "GET /api/schema", key=False)), "the schema comes")
    assert schema.status_code == 200
    assert b"openapi: 3.1" in schema.content
