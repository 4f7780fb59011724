"""What Google's APIs say when they refuse: a status, words, and details that tell more than both."""

import re
from collections.abc import Iterator
from typing import Any

from agents.providers import upstream
from agents.providers.base import ProviderError, ProviderSpec, ProviderUnauthorized, QuotaExhausted

LONGEST_WAIT = 86_400.0
MOST_DETAILS = 100
STATUS_OF = {  # of an error without a number
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_KEY_REASONS = {"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED"}
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?(?=s$)")


def refusal(spec: ProviderSpec, status: int, found: Any, retry_after: float | None = None) -> ProviderError:
    """The error that a body stands for; the status in it goes over that of HTTP, which is 200 in a stream."""
    error = _error(found)
    details = list(_details(error))
    code, words = error.get("status"), error.get("message")
    number = error.get("code")
    if not (isinstance(number, int) and 400 <= number < 600):
        number = STATUS_OF.get(code, status) if isinstance(code, str) else status
    told = upstream.error_for(
        spec,
        number if error else status,
        str(code or ""),
        words if isinstance(words, str) else "",
        retry_after=_retry_delay(details) or retry_after,
    )
    if any(one.get("reason") in _KEY_REASONS for one in details if isinstance(one.get("reason"), str)):
        return ProviderUnauthorized(told.detail)
    if number == 429 and any("PerDay" in limit for limit in _limits(details)):
        return QuotaExhausted(told.detail)
    return told


def _error(found: Any) -> dict[str, Any]:
    """The error in a body, which comes in a list where the answer would have been one; empty where it is none."""
    if isinstance(found, list) and found:
        found = found[0]
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else {}


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    details = error.get("details")
    if isinstance(details, list):
        yield from (one for one in details[:MOST_DETAILS] if isinstance(one, dict))


def _retry_delay(details: list[dict[str, Any]]) -> float | None:
    """Seconds to wait by a RetryInfo, which says them as in "26.5s"."""
    for one in details:
        delay = one.get("retryDelay")
        if isinstance(delay, str) and (seconds := _SECONDS.match(delay)):
            return min(float(seconds[0]), LONGEST_WAIT)
    return None


def _limits(details: list[dict[str, Any]]) -> Iterator[str]:
    """The names of the limits that were reached, by a QuotaFailure."""
    for one in details:
        violations = one.get("violations")
        for violation in violations[:MOST_DETAILS] if isinstance(violations, list) else ():
            if isinstance(violation, dict) and isinstance(violation.get("quotaId"), str):
                yield violation["quotaId"]
