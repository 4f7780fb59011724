"""Everything that processes count: a closed set, so that whoever tells it need not know who counts it.

What is read from the tables as it stands stands in `config/gauges.py`; docs/operations.md explains each.
"""

import time
from functools import lru_cache

from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest

from core.metrics import Counter, Histogram

QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
SPOKEN = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WHOLE = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

HTTP_REQUESTS = Counter(
    "countersign_http_requests_total",
    "Requests answered, by route and class of status.",
    ("method", "route", "status"),
)
HTTP_SECONDS = Histogram(
    "countersign_http_response_start_seconds", "Time until the head of an answer was ready, streams too.", QUICK
)
RUN_FIRST_WORD = Histogram(
    "countersign_first_token_seconds",
    "Time from when a person's run could start to the first piece of its answer, without runs that went on.",
    SPOKEN,
)
RUN_SECONDS = Histogram(
    "countersign_answer_seconds",
    "Time from when a run could start to its end, by outcome, without runs that waited for people or clients.",
    WHOLE,
    ("outcome",),
)
RUNS_ENDED = Counter("countersign_runs_ended_total", "Runs that workers ended, by outcome.", ("outcome",))
PROVIDER_CALLS = Counter(
    "countersign_provider_calls_total", "Requests for an answer sent to providers, by service.", ("provider",)
)
PROVIDER_ERRORS = Counter(
    "countersign_provider_errors_total", "Those that failed, by service and code.", ("provider", "code")
)
PROVIDER_FIRST_WORD = Histogram(
    "countersign_provider_first_token_seconds",
    "Time from a request to a provider to its first piece, by service.",
    SPOKEN,
    ("provider",),
)
TOKENS = Counter(
    "countersign_tokens_total", "Tokens that providers counted, in and out, by service.", ("provider", "direction")
)
ACTIONS_ENDED = Counter("countersign_action_attempts_total", "Calls of tools, by what came of them.", ("outcome",))
LOG_SECONDS = Histogram(
    "countersign_event_log_append_seconds",
    "Time that events waited to be appended to the event log, absences of Valkey among it.",
    QUICK,
)

COUNTERS = {
    one.name: one
    for one in (HTTP_REQUESTS, RUNS_ENDED, PROVIDER_CALLS, PROVIDER_ERRORS, TOKENS, ACTIONS_ENDED)
}  # fmt: skip
HISTOGRAMS = {one.name: one for one in (HTTP_SECONDS, RUN_FIRST_WORD, RUN_SECONDS, PROVIDER_FIRST_WORD, LOG_SECONDS)}


class Request:
    """A request on its way, counted once the head of its answer is ready."""

    def __init__(self, method: str) -> None:
        self.method = method if method in METHODS else "other"
        self._began = time.monotonic()
        self.route = "none"
        """The template of its path, such as /v1/ai/sessions/<session_id>; the same for all that have none."""

    def find(self, request: HttpRequest) -> None:
        """Note where it led."""
        if request.resolver_match is not None:
            self.route = template(request.resolver_match.route)

    def answered(self, status: int) -> None:
        """Count it."""
        HTTP_REQUESTS.add(self.method, self.route, f"{status // 100}xx")
        HTTP_SECONDS.observe(time.monotonic() - self._began)


@lru_cache(maxsize=1_000)
def template(pattern: str) -> str:
    """A route's pattern as people write paths."""
    return str(simplify_regex(pattern)).rstrip("/?") or "/"
