"""Errors before the first event, as this dialect's clients read them: what RUN_ERROR says, as JSON."""

from typing import Any

from chat.dialects.camel import camel
from core import problems
from core.problems import Problem

MEDIA_TYPE = "application/json"


def shape(told: Problem, request_id: str) -> tuple[str, dict[str, Any]]:
    """The body `{message, code, requestId}`, with `errors` where fields are at fault and what else the error tells."""
    whole = problems.problem(told, request_id)
    faults = {"errors": whole["errors"]} if whole["errors"] else {}
    more = {camel(name): value for name, value in told.extra.items()}
    return MEDIA_TYPE, {**more, "message": whole["detail"], "code": told.code, "requestId": request_id, **faults}
