"""Spans over web, worker, provider and tool, where OTEL_EXPORTER_OTLP_ENDPOINT says to whom they are sent.

Elsewhere nothing of OpenTelemetry is loaded, and each span is the same one that does nothing. A span carries names,
codes, counts and ids, and never what somebody said, wrote or named; an error is told by its code alone.
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

Value = str | int | float | bool
SERVER, CLIENT, INTERNAL = "SERVER", "CLIENT", "INTERNAL"
OWN_NAMES = ("local", "lan", "internal", "intranet", "home.arpa", "localhost", "svc")


class Span:
    """Something that takes time, in a trace: a `with` block makes it the current one and ends it.

    This one does nothing; where spans are sent, `core.spans` has another.
    """

    traceparent = ""
    """What names it to others, by W3C's Trace Context."""
    trace_id = ""

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Say something about it."""

    def rename(self, name: str) -> None:
        """Call it what it has turned out to be."""

    def fail(self, code: str) -> None:
        """Say that it failed, and how."""

    def __enter__(self) -> "Span":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


NOTHING = Span()


def on() -> bool:
    """Whether spans are sent anywhere."""
    return bool(settings.OTEL_EXPORTER_OTLP_ENDPOINT)


def span(name: str, *, kind: str = INTERNAL, parent: str = "", attributes: Mapping[str, Value] | None = None) -> Span:
    """A span that begins now, below the one of this traceparent, or else the current one."""
    return _spans().start(name, kind, parent, attributes or {}) if on() else NOTHING


def current() -> Span:
    """The span at hand."""
    return _spans().current() if on() else NOTHING


def of_request(scope: Mapping[str, Any]) -> Span:
    """The span of a request that came in: a trace of its own, linked with the one that its caller names.

    Whoever calls has shown nothing yet, and must not say what is traced, nor write into another's trace. A static file
    has no span: a page asks for fifty of them.
    """
    if not on() or scope["path"].startswith(settings.STATIC_URL):
        return NOTHING
    caller = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), "")
    method = scope["method"] if scope["method"].isalpha() and len(scope["method"]) < 10 else "_OTHER"
    begun: Span = _spans().of_request(method, SERVER, caller, {"http.request.method": method})
    return begun


def headers_for(url: str) -> dict[str, str]:
    """What a request to a server carries of the trace: nothing where the server is not one's own.

    A name of a trace is the same at all who are told it: a stranger could put together whom else was asked when.
    """
    found = current().traceparent if on() and is_own(url) else ""
    return {"traceparent": found} if found else {}


@lru_cache(maxsize=256)
def is_own(url: str) -> bool:
    """Whether an address is surely within one's own network: by number, or by a name that only such networks have."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # it is no address: newer Pythons say so of more than older ones do
        return False
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(tuple(f".{name}" for name in OWN_NAMES)))


def _spans() -> Any:
    return import_module("core.spans")
