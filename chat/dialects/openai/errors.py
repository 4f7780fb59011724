"""Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`, all four always there."""

from http import HTTPStatus
from typing import Any

from core.problems import Problem

MEDIA_TYPE = "application/json"
TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
"""By status; of the others those up to 499 are the request's, those from 500 on the server's."""
CODES = {
    "unauthorized": "invalid_api_key",
    "invalid_key": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "budget_exceeded": "insufficient_quota",
    "context_too_long": "context_length_exceeded",
    "unknown_model": "model_not_found",
    "unknown_companion": "model_not_found",
}
"""Of our codes those for which OpenAI has one that clients look for."""
# What the domain calls otherwise than a body of this dialect.
_FIELDS = {"attachments": "messages", "message": "messages", "session_id": "metadata"}


def shape(told: Problem, request_id: str) -> tuple[str, dict[str, Any]]:
    """The body of an error; the request's id is in the header."""
    code = told.errors[0].code if told.code == "invalid" and told.errors else told.code
    return MEDIA_TYPE, body(told.detail, code, told.status, param=_param(told))


def body(message: str, code: str, status: int, *, param: str | None = None) -> dict[str, Any]:
    """An error of this code and status; in a stream it is told in a frame."""
    by_status = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    told = {"message": message, "type": TYPES.get(status, by_status), "param": param, "code": CODES.get(code, code)}
    return {"error": told}


def _param(told: Problem) -> str | None:
    """The field at fault, as the body calls it."""
    if told.code in CODES and CODES[told.code] == "model_not_found":
        return "model"
    field = told.errors[0].field if told.errors else ""
    first, _, rest = field.partition(".")
    if first in _FIELDS:
        return _FIELDS[first]
    return field or None
