"""The outermost layer: request ids, headers, and what no view gets to see."""

import json
import logging

import pytest

from core.logs import Formatter
from tests.cast import Api

pytestmark = pytest.mark.urls("tests.core.urls")


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_sane_request_id_is_kept_and_any_other_replaced(api):
    assert api.get("/v1/echo", headers={"X-Request-Id": "abc.DEF_1-2"})["X-Request-Id"] == "abc.DEF_1-2"
    for bad in ("", "a" * 65, "two words", "x\ny", "é", "<script>"):
        assert len(api.get("/v1/echo", headers={"X-Request-Id": bad})["X-Request-Id"]) == 36


def test_answers_of_the_api_are_not_stored_by_caches(api):
    response = api.get("/v1/echo")
    assert response["Cache-Control"] == "no-store"
    assert "Authorization" in response["Vary"]


def test_headers_that_a_view_leaves_on_the_request_are_sent(api):
    assert api.get("/v1/echo")["X-From-View"] == "yes"


@pytest.mark.parametrize("path", ["/v1/%00", "/v1/echo%0A", "/v1/%FF", "/v1/echo%EF%BF%BD", "/v1/\x7f"])
def test_a_path_with_characters_that_no_route_has_is_not_found(api, path):
    response = api.get(path)
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("query", ["limit=%00", "%00=1", "limit=%FF", "limit=%ED%A0%80"])
def test_a_query_that_is_no_text_is_refused(api, query):
    response = api.get("/v1/echo", QUERY_STRING=query)
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO"])
def test_an_unknown_method_is_not_allowed_and_says_which_are(api, method):
    response = api.generic(method, "/v1/echo")
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert api.generic(method, "/v1/nothing").status_code == 404


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a_method_by_way_of_a_header_is_not_allowed(api, header):
    assert api.post("/v1/echo", {"text": "a"}, headers={header: "DELETE"}).status_code == 405


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("br, gzip", 415), ("identity", 200), ("", 200)])
def test_a_compressed_body_is_refused(api, encoding, status):
    response = api.post("/v1/echo", {"text": "a"}, headers={"Content-Encoding": encoding})
    assert response.status_code == status
    if status == 415:
        assert response.json()["code"] == "unsupported_media_type"
        assert response["Accept-Encoding"] == "identity"


def test_a_long_path_is_cut_in_the_log(api, caplog):
    with caplog.at_level(logging.INFO, "access"):
        api.get("/" + "x" * 10_000)
    (record,) = [record for record in caplog.records if record.name == "access"]
    assert len(record.getMessage()) < 520


def test_each_request_leaves_one_line_without_its_query(api, caplog):
    with caplog.at_level(logging.INFO, "access"):
        api.get("/v1/echo?limit=5", headers={"X-Request-Id": "the-id"})
    (record,) = [record for record in caplog.records if record.name == "access"]
    assert record.getMessage() == "GET /v1/echo 200"
    assert record.ms >= 0


def test_the_line_of_a_request_carries_its_id_and_the_lines_after_it_do_not(api):
    formatted = []

    class Listening(logging.Handler):
        def emit(self, record):
            formatted.append(json.loads(self.format(record)))

    listening = Listening()
    listening.setFormatter(Formatter(["name", "message"], rename_fields={"name": "logger"}))
    logging.getLogger().addHandler(listening)
    try:
        api.get("/v1/echo", headers={"X-Request-Id": "the-id"})
        logging.getLogger("elsewhere").warning("later")
    finally:
        logging.getLogger().removeHandler(listening)
    lines = {line["logger"]: line for line in formatted}
    assert lines["access"]["request_id"] == "the-id"
    assert "request_id" not in lines["elsewhere"]


@pytest.mark.parametrize("path", ["/v1/echo", "/v1/nothing"])
@pytest.mark.parametrize("charset", ["hex", "idna", "rot13", "undefined", "utf-7", "unicode_escape"])
@pytest.mark.parametrize("form", ["multipart/form-data; boundary=zz", "application/x-www-form-urlencoded"])
def test_a_form_that_is_not_utf_8_is_refused(api, path, charset, form):
    answer = api.generic("POST", path, b"name=+2AA-", content_type=f"{form}; charset={charset}")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
