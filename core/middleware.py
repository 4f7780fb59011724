"""The outermost middleware: a request's id, its log line, refusal of what no view should see, and errors."""

import logging
import re
import time
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.cache import patch_vary_headers

from core import ids, ledger, logs, problems, tracing
from core.errors import Invalid, NotFound
from core.problems import Problem

log = logging.getLogger("access")

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
API = ("/v1", "/api", "/chat")
VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
LONGEST_PATH = 500  # characters, in the log
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BAD_PATH = re.compile("[\x00-\x1f\x7f\ufffd\ud800-\udfff]")  # U+FFFD: a server read bytes that are no UTF-8

_ENCODED = Problem(
    415,
    "unsupported_media_type",
    "Unsupported Media Type",
    "A body is read as it is, not compressed.",
    headers={"Accept-Encoding": "identity"},
)


_NOT_UTF8 = Problem(415, "unsupported_media_type", "Unsupported Media Type", "A form is read as UTF-8.")


class RequestContext:
    """Gives each request an id and `response_headers`, and turns exceptions into problems.

    What a view, a throttle or a permission puts into `request.response_headers` is sent with the response.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.monotonic()
        inbound = request.headers.get("X-Request-Id", "")
        request_id = inbound if _REQUEST_ID.fullmatch(inbound) else str(ids.new())
        request.request_id = request_id  # type: ignore[attr-defined]
        request.response_headers = {}  # type: ignore[attr-defined]
        came_from = ledger.came_from(ip=request.META.get("REMOTE_ADDR") or "", request_id=request_id)
        trace_id = tracing.current().trace_id
        with logs.context(request_id=request_id, **({"trace_id": trace_id} if trace_id else {})), came_from:
            response = _refusal(request) or self.get_response(request)
            _finish(request, response)
            log.log(
                logging.ERROR if response.status_code >= 500 else logging.INFO,
                "%s %s %s",
                request.method,
                request.path[:LONGEST_PATH],
                response.status_code,
                extra={"ms": round((time.monotonic() - started) * 1000, 1)},
            )
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        """The problem for what a view outside DRF raised."""
        return problems.respond_to(exception, request)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """The answer to a request that no view should see, if it is one."""
    if _BAD_PATH.search(request.path):
        return problems.respond_to(NotFound("There is nothing here."), request)
    if not _readable(request.META.get("QUERY_STRING", "")):
        return problems.respond_to(Invalid("The query string is not UTF-8, or holds U+0000."), request)
    if request.method not in VERBS or any(name in request.headers for name in OVERRIDES):
        return _not_allowed(request)
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return problems.respond(_ENCODED, request)
    if request.content_type in FORMS and (request.content_params or {}).get("charset", "utf-8").lower() != "utf-8":
        return problems.respond(_NOT_UTF8, request)
    return None


def _readable(query: str) -> bool:
    if "%" not in query and query.isascii():
        return "\x00" not in query
    raw = unquote_to_bytes(query)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return b"\x00" not in raw


def _not_allowed(request: HttpRequest) -> HttpResponse:
    try:
        view = resolve(request.path_info).func
    except Resolver404:
        return problems.respond_to(NotFound("There is nothing here."), request)
    actions = getattr(view, "actions", None)  # a viewset's
    served = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if actions:
        verbs = {*actions, "options"}
    else:
        verbs = {verb.lower() for verb in VERBS if served is None or hasattr(served, verb.lower())}
    verbs |= {"head"} if "get" in verbs else set()
    told = Problem(
        405,
        "method_not_allowed",
        "Method Not Allowed",
        "This method is not served here, and none is by way of a header.",
        headers={"Allow": ", ".join(sorted(verbs)).upper()},
    )
    return problems.respond(told, request)


def _finish(request: HttpRequest, response: HttpResponseBase) -> None:
    response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
    for name, value in request.response_headers.items():  # type: ignore[attr-defined]
        response[name] = value
    if request.path.startswith(API):
        response.setdefault("Cache-Control", "no-store")
        patch_vary_headers(response, ("Authorization",))
