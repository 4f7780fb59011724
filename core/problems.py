"""Errors as `application/problem+json` (RFC 9457), for whatever is raised; one mapping for every door."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from typing import Any

from django import db, http
from django.core import exceptions
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string
from redis.exceptions import RedisError
from rest_framework import exceptions as drf

from core import ids
from core.errors import DomainError, FieldError

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
TYPE = "urn:countersign:problem:"
MOST_ERRORS = 50  # told of one request
LONGEST_TEXT = 500  # characters of one message
ADMIN = "/admin"
PROGRAMS = re.compile(r"/+(v1|api|chat)(/|$)", re.IGNORECASE)
"""Where only programs read errors, whatever they accept; elsewhere who asks for HTML gets a page."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is told of an error: its status, a code for programs, texts for people, and headers."""

    status: int
    code: str
    title: str
    detail: str
    errors: list[FieldError] = field(default_factory=list)
    extra: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Shape = Callable[[Problem, str], tuple[str, dict[str, Any]]]
"""How a dialect tells an error: the problem and the request's id in, media type and body out."""

SHAPES: dict[str, Shape] = {}
"""The shapes of dialects that have their own, by the beginning of their paths; elsewhere it is RFC 9457's."""


def of(error: BaseException) -> Problem | None:
    """The problem that an exception is; None where it is nobody's refusal but a fault of ours."""
    if isinstance(error, DomainError):
        return Problem(error.status, error.code, error.title, error.detail, error.errors, error.extra, error.headers)
    if isinstance(error, drf.ValidationError):
        return invalid(list(islice(flatten(error.detail), MOST_ERRORS)))
    if isinstance(error, drf.APIException):
        return _of_framework(error)
    for kinds, status, code, detail in _KNOWN:
        if isinstance(error, kinds):
            retry = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
            return Problem(status, code, _phrase(status), detail, headers=retry)
    return None


def fault() -> Problem:
    """The problem for a fault of ours: it says nothing of what went wrong, which the log does."""
    return Problem(500, "internal_error", _phrase(500), "Something went wrong; the log knows it by the request id.")


def invalid(errors: list[FieldError]) -> Problem:
    """The problem of fields that do not fit."""
    first = errors[0] if errors else FieldError("", "invalid", "The request is not valid.")
    detail = f"{first.field}: {first.message}" if first.field else first.message
    return Problem(400, "invalid", "The request is not valid", detail, errors)


def problem(error: DomainError | Problem, request_id: str) -> dict[str, Any]:
    """The body of a problem: RFC 9457's members, our code, the request id and the fields at fault."""
    told = error if isinstance(error, Problem) else of(error) or fault()
    return {
        **told.extra,
        "type": TYPE + told.code,
        "title": told.title,
        "status": told.status,
        "detail": told.detail[: 2 * LONGEST_TEXT],
        "code": told.code,
        "request_id": request_id,
        "errors": [
            {"field": one.field[:LONGEST_TEXT], "code": one.code, "message": one.message[:LONGEST_TEXT]}
            for one in told.errors[:MOST_ERRORS]
        ],
    }


def shaped(told: Problem, request_id: str, path: str) -> tuple[str, dict[str, Any]]:
    """Media type and body of a problem, as clients of this path read errors."""
    for beginning, shape in SHAPES.items():
        if path.startswith(beginning) and path[len(beginning) : len(beginning) + 1] in ("", "/"):
            return shape(told, request_id)
    return CONTENT_TYPE, problem(told, request_id)


def is_admin(path: str) -> bool:
    """Whether this is a path of the admin."""
    return path == ADMIN or path.startswith(f"{ADMIN}/")


def is_for_programs(path: str) -> bool:
    """Whether only programs call this path."""
    return bool(PROGRAMS.match(path))


def respond(told: Problem, request: http.HttpRequest | None, *, path: str = "") -> http.HttpResponse:
    """The response that carries a problem; the path is the request's, where there is none yet."""
    request_id = getattr(request, "request_id", "") or str(ids.new())
    if request is not None and _is_read_as_a_page(request):
        # What fails by itself is told without asking the database who is there.
        framed = request if told.status < HTTPStatus.INTERNAL_SERVER_ERROR else None
        request.is_refused = True  # type: ignore[attr-defined]  # no view has asked yet who is there
        page = render_to_string("error.html", {"told": told, "request_id": request_id}, request=framed)
        return http.HttpResponse(page, status=told.status, headers={**told.headers, "X-Request-Id": request_id})
    media, body = shaped(told, request_id, request.path if request is not None else path)
    headers = {**told.headers, "X-Request-Id": request_id}
    return http.HttpResponse(json.dumps(body, default=str), status=told.status, content_type=media, headers=headers)


def respond_to(error: Exception, request: http.HttpRequest | None, *, path: str = "") -> http.HttpResponse:
    """The response to any exception; a fault of ours is logged with its traceback."""
    told = of(error)
    if told is None:
        log.error("the request failed", exc_info=error)
        told = fault()
    elif told.status >= HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, db.DataError | db.IntegrityError):
        said = str(error).partition("\n")[0]  # of PostgreSQL's further lines some repeat the row
        log.warning("the request was refused: %s", said, extra={"code": told.code})
    return respond(told, request, path=path)


def handler(error: Exception, context: Mapping[str, Any]) -> http.HttpResponse:
    """What DRF asks of every exception in a view."""
    request = context.get("request")
    return respond_to(error, getattr(request, "_request", request))


def flatten(detail: Any, path: str = "") -> Iterator[FieldError]:
    """The single errors in DRF's nest of dictionaries and lists, each with its dotted path."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            step = "" if key == "non_field_errors" else str(key)
            yield from flatten(inner, ".".join(part for part in (path, step) if part))
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, Mapping | list | tuple)
            yield from flatten(inner, ".".join(part for part in (path, str(index)) if part) if nested else path)
    else:
        yield FieldError(path, getattr(detail, "code", None) or "invalid", str(detail))


def bad_request(request: http.HttpRequest, exception: Exception) -> http.HttpResponse:
    """`handler400`: what Django refuses before a view, such as a wrong Host."""
    return respond_to(exception, request)


def permission_denied(request: http.HttpRequest, exception: Exception) -> http.HttpResponse:
    """`handler403`."""
    return respond_to(exception, request)


def page_not_found(request: http.HttpRequest, exception: Exception) -> http.HttpResponse:
    """`handler404`."""
    return respond_to(exception, request)


def server_error(request: http.HttpRequest) -> http.HttpResponse:
    """`handler500`: also for a database that is away while a middleware asks for it."""
    error = sys.exception()
    return respond((of(error) if error else None) or fault(), request)


def csrf_failure(request: http.HttpRequest, reason: str = "") -> http.HttpResponse:
    """`CSRF_FAILURE_VIEW`."""
    detail = "The CSRF token is missing or wrong. Reload the page and try again."
    return respond(Problem(403, "csrf_failed", _phrase(403), detail), request)


def _is_read_as_a_page(request: http.HttpRequest) -> bool:
    return not is_for_programs(request.path) and "text/html" in request.headers.get("Accept", "")


def _of_framework(error: drf.APIException) -> Problem:
    """The problem of one of DRF's own exceptions."""
    # DRF makes it 403 where a view has no authentication to ask for; a credential is missing all the same.
    unknown = isinstance(error, drf.NotAuthenticated | drf.AuthenticationFailed)
    status = HTTPStatus.UNAUTHORIZED if unknown else error.status_code
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, drf.Throttled):
        headers["Retry-After"] = str(max(1, round(getattr(error, "wait", None) or 1)))
    code = _CODES.get(status) or str(error.default_code)
    return Problem(status, code, _phrase(status), str(error.detail), headers=headers)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    429: "rate_limited",
}
_DATABASE_AWAY = "The database does not answer; nothing was lost, try again."
# In order: a subclass stands before its base. The texts repeat nothing that the client sent.
_CHANGED_MEANWHILE = "Something that this needs was changed or deleted meanwhile."
_KNOWN: list[tuple[tuple[type[Exception], ...], int, str, str]] = [
    ((http.Http404,), 404, "not_found", "There is nothing here."),
    ((exceptions.PermissionDenied,), 403, "forbidden", "You may not do this."),
    ((exceptions.RequestDataTooBig,), 413, "too_large", "The body is too large."),
    (
        (exceptions.TooManyFieldsSent, exceptions.TooManyFilesSent),
        413,
        "too_large",
        "The body has too many parts.",
    ),
    ((exceptions.SuspiciousOperation,), 400, "invalid", "The request cannot be understood."),
    (
        (exceptions.BadRequest, http.BadHeaderError, MultiPartParserError),
        400,
        "invalid",
        "The request cannot be understood.",
    ),
    ((http.UnreadablePostError,), 400, "invalid", "The body could not be read to its end."),
    ((db.OperationalError, db.InterfaceError), 503, "database_unavailable", _DATABASE_AWAY),
    ((db.IntegrityError, exceptions.ObjectDoesNotExist), 409, "changed_meanwhile", _CHANGED_MEANWHILE),
    ((db.DataError,), 400, "invalid", "A value does not fit into the database."),
    ((RedisError,), 503, "unavailable", "A part of the service does not answer; try again."),
]
