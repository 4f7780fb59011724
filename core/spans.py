"""Spans as OpenTelemetry has them, sent in batches by its OTLP exporter; loaded only where they are sent."""

import asyncio
from collections.abc import Mapping
from contextvars import Token
from functools import cache
from types import TracebackType

from django.conf import settings
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core.tracing import NOTHING, Span, Value

SEND_MS = 1_000  # after which what ended is sent: a process that is stopped loses no more
WAITING = 4_096  # spans that are kept for it; more are dropped, and nothing waits
LEFT = (asyncio.CancelledError, GeneratorExit)  # whoever leaves is no failure
_propagator = TraceContextTextMapPropagator()


class Recorded(Span):
    """A span that is sent where it is sampled."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Token[Context] | None = None
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
        self.traceparent = carrier.get("traceparent", "")
        self.trace_id = self.traceparent[3:35]

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Say something about it."""
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """Call it what it has turned out to be."""
        self._span.update_name(name)

    def fail(self, code: str) -> None:
        """Say that it failed, and how."""
        self._span.set_attribute("error.type", code)
        self._span.set_status(trace.Status(trace.StatusCode.ERROR))

    def __enter__(self) -> Span:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            context.detach(self._token)
        if error is not None and not isinstance(error, LEFT):
            self.fail(str(getattr(error, "code", "") or type(error).__name__))
        self._span.end()


def start(name: str, kind: str, parent: str, attributes: Mapping[str, Value]) -> Span:
    """A span that begins now."""
    above = _named(parent) if parent else None
    return Recorded(_tracer().start_span(name, above, trace.SpanKind[kind], dict(attributes)))


def of_request(name: str, kind: str, caller: str, attributes: Mapping[str, Value]) -> Span:
    """The first span of a trace, linked with the span that its caller names."""
    said = trace.get_current_span(_named(caller)).get_span_context()
    links = [trace.Link(said)] if said.is_valid else []
    return Recorded(_tracer().start_span(name, Context(), trace.SpanKind[kind], dict(attributes), links))


def _named(traceparent: str) -> Context:
    return _propagator.extract({"traceparent": traceparent}, Context())


def current() -> Span:
    """The span at hand, which is ended by who began it."""
    found = trace.get_current_span()
    return Recorded(found) if found.get_span_context().is_valid else NOTHING


@cache
def _tracer() -> trace.Tracer:
    """The process's tracer; its name, the sampler and the headers may be set by OpenTelemetry's own variables."""
    named = Resource.create({"service.version": settings.VERSION})
    if str(named.attributes.get("service.name", "")).startswith("unknown_service"):
        named = named.merge(Resource({"service.name": "countersign"}))
    provider = TracerProvider(resource=named)
    exporter = OTLPSpanExporter(endpoint=settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip("/") + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, WAITING, SEND_MS))
    return provider.get_tracer("countersign", settings.VERSION)
