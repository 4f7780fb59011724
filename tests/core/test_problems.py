"""Whatever fails, wherever: a problem with the right status, and nothing of the inside."""

import pytest

from tests.cast import Api

pytestmark = pytest.mark.urls("tests.core.urls")

STATUSES = {
    "domain": (409, "conflict"),
    "missing": (404, "not_found"),
    "forbidden": (403, "forbidden"),
    "suspicious": (400, "invalid"),
    "header": (400, "invalid"),
    "big": (413, "too_large"),
    "database": (503, "database_unavailable"),
    "interface": (503, "database_unavailable"),
    "data": (400, "invalid"),
    "integrity": (409, "changed_meanwhile"),
    "gone": (409, "changed_meanwhile"),
    "fault": (500, "internal_error"),
}


@pytest.fixture
def api() -> Api:
    return Api()


def assert_problem(response, status, code):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id", "errors"} <= set(body)
    assert (body["status"], body["code"], body["request_id"]) == (status, code, response["X-Request-Id"])
    assert body["type"].endswith(code)
    assert "secret text" not in response.content.decode()
    return body


@pytest.mark.parametrize("how", STATUSES)
@pytest.mark.parametrize("door", ["v1/drf", "plain"])
def test_an_exception_is_the_same_problem_inside_drf_and_outside(api, door, how):
    assert_problem(api.get(f"/{door}/{how}"), *STATUSES[how])


def test_a_refusal_carries_its_extra_members_and_headers(api):
    response = api.get("/v1/drf/domain")
    assert response.json()["run_id"] == "r1"
    assert response["X-Why"] == "taken"


def test_a_fault_is_logged_with_its_traceback_and_the_request_id(api, caplog):
    response = api.get("/v1/drf/fault")
    record = next(record for record in caplog.records if record.exc_info)
    assert record.exc_info[0] is ZeroDivisionError
    assert response.json()["request_id"]


def test_drfs_own_exceptions_say_what_http_asks_of_them(api):
    assert_problem(api.get("/v1/drf/unauthenticated"), 401, "unauthorized")
    assert api.get("/v1/drf/unauthenticated")["WWW-Authenticate"] == "Bearer"
    assert_problem(api.get("/v1/drf/throttled"), 429, "rate_limited")
    assert api.get("/v1/drf/throttled")["Retry-After"] == "7"
    assert_problem(api.delete("/v1/echo"), 405, "method_not_allowed")
    assert api.delete("/v1/echo")["Allow"] == "GET, POST, HEAD, OPTIONS"
    assert_problem(api.post("/v1/echo", b"a=1", "application/x-www-form-urlencoded"), 415, "unsupported_media_type")
    assert_problem(api.post("/v1/echo", b"{}", "application/json; charset=latin-1"), 415, "unsupported_media_type")
    assert_problem(api.get("/v1/echo", headers={"Accept": "image/png"}), 406, "not_acceptable")


def test_a_path_that_is_not_there_is_a_problem(api):
    for path in ("/", "/v1/nothing", "/nested", "/v1/echo/", "/V1/echo", "//v1/echo", "/v1/echo;x", "/v1/echo."):
        assert_problem(api.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/admin/missing", "/admin/forbidden", "/admin/fault", "/plain/fault", "/nonsense"])
def test_a_person_gets_a_page_with_the_way_back_and_a_program_a_problem(api, path):
    status, code = STATUSES.get(path.rpartition("/")[2], (404, "not_found"))
    assert_problem(api.get(path), status, code)
    page = api.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (page.status_code, page["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert "countersign/page.css" in page.content.decode()
    assert '<a class="button" href="/">' in page.content.decode()
    assert page["X-Request-Id"] in page.content.decode()
    assert "secret text" not in page.content.decode()


@pytest.mark.parametrize("path", ["/v1/nothing", "/V1/nothing", "/api/nothing", "/v1"])
def test_where_only_programs_come_errors_are_problems_whatever_is_accepted(api, path):
    assert_problem(api.get(path, headers={"Accept": "text/html"}), 404, "not_found")


def test_a_wrong_host_is_refused_without_repeating_it(api):
    response = api.get("/v1/echo", headers={"Host": "evil.example"})
    # DRF's views never ask for the host; Django's CommonMiddleware does, and refuses before them.
    assert_problem(response, 400, "invalid")
    assert "evil" not in response.content.decode()


def test_a_body_that_is_no_object_or_too_large_is_refused(api, settings):
    assert_problem(api.post("/v1/echo", b"[]"), 400, "bad_json")
    assert_problem(api.post("/v1/echo", b'"text"'), 400, "bad_json")
    assert_problem(api.post("/v1/echo", b'{"text":'), 400, "bad_json")
    settings.BODY_LIMIT = 50
    assert_problem(api.post("/v1/echo", b'{"text":"' + b"a" * 50 + b'"}'), 413, "too_large")


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "text", "required"),
        ({"text": None}, "text", "null"),
        ({"text": ""}, "text", "blank"),
        ({"text": "a" * 11}, "text", "max_length"),
        ({"text": 5}, "text", "wrong_type"),
        ({"text": True}, "text", "wrong_type"),
        ({"text": ["a"]}, "text", "wrong_type"),
        ({"text": {"a": 1}}, "text", "wrong_type"),
        ({"text": "a", "number": "5"}, "number", "wrong_type"),
        ({"text": "a", "number": 5.0}, "number", "wrong_type"),
        ({"text": "a", "number": True}, "number", "wrong_type"),
        ({"text": "a", "share": "0.5"}, "share", "wrong_type"),
        ({"text": "a", "flag": "true"}, "flag", "wrong_type"),
        ({"text": "a", "flag": 1}, "flag", "wrong_type"),
        ({"text": "a", "choice": True}, "choice", "wrong_type"),
        ({"text": "a", "choice": "three"}, "choice", "invalid_choice"),
        ({"text": "a", "names": "abc"}, "names", "wrong_type"),
        ({"text": "a", "names": ["a", 5]}, "names.1", "wrong_type"),
        ({"text": "a", "items": {}}, "items", "wrong_type"),
        ({"text": "a", "items": ["x"]}, "items.0", "invalid"),
        ({"text": "a", "items": [{"url": "https://a.example"}, {"url": "nonsense"}]}, "items.1.url", "invalid"),
        ({"text": "a", "items": [{"url": "https://a.example", "size": "1"}]}, "items.0.size", "wrong_type"),
        ({"text": "a", "items": [{"url": "https://a.example", "colour": 1}]}, "items.0.colour", "unknown_field"),
        ({"text": "a", "txet": "b"}, "txet", "unknown_field"),
        ({"text": "a", "state": "done"}, "state", "unknown_field"),
    ],
)
def test_a_field_that_does_not_fit_is_named_by_its_path(api, body, field, code):
    problem = assert_problem(api.post("/v1/echo", body), 400, "invalid")
    assert (field, code) in [(error["field"], error["code"]) for error in problem["errors"]]
    assert problem["detail"].startswith(field)


def test_a_body_that_fits_is_taken_as_it_is(api):
    body = {"text": " a ", "number": 5, "share": 1, "flag": False, "choice": "1", "names": ["x"], "items": []}
    assert api.post("/v1/echo", body).json() == body


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?limit=x", "limit"),
        ("?limit=101", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?session__tenant=1", "session__tenant"),
    ],
)
def test_a_query_parameter_that_does_not_fit_is_named(api, query, field):
    assert assert_problem(api.get(f"/v1/echo{query}"), 400, "invalid")["errors"][0]["field"] == field


def test_a_query_that_fits_is_read(api):
    assert api.get("/v1/echo?limit=5").json() == {"limit": 5}
    assert api.get("/v1/echo").json() == {"limit": 20}


@pytest.mark.parametrize(
    ("extra", "field", "count"),
    [
        ({"none": [1] * 100_000}, "none", 1),
        ({"names": [1] * 100_000}, "names", 1),
        ({"items": [1] * 100_000}, "items", 1),
        ({"names": [1] * 1000}, "names.0", 20),
        ({"items": [1] * 1000}, "items.0", 50),
        ({"choice": "x" * 100_000}, "choice", 1),
        ({f"unknown{n}": 1 for n in range(1000)}, "unknown0", 20),
    ],
)
def test_however_much_is_wrong_the_problem_is_small(api, extra, field, count):
    response = api.post("/v1/echo", {"text": "a", **extra})
    problem = assert_problem(response, 400, "invalid")
    assert (problem["errors"][0]["field"], len(problem["errors"])) == (field, count)
    assert len(response.content) < 10_000
