"""What an OTLP receiver was sent over real HTTP, and what Sentry was."""

import gzip
import json
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers.receiver import Received, Receiver


def _body(request: Received) -> bytes:
    packed = request.headers.get("content-encoding") == "gzip"
    return gzip.decompress(request.body) if packed else request.body


def spans(receiver: Receiver) -> list[Any]:
    """The spans, in the order in which they came."""
    found = []
    for request in list(receiver.received):
        assert request.path == "/v1/traces"
        told = ExportTraceServiceRequest.FromString(_body(request))
        found += [one for part in told.resource_spans for scope in part.scope_spans for one in scope.spans]
    return found


def said(span: Any) -> dict[str, Any]:
    """What a span says of itself."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def events(receiver: Receiver) -> list[dict[str, Any]]:
    """The events that Sentry was told, each out of its envelope."""
    found = []
    for request in list(receiver.received):
        lines = _body(request).split(b"\n")
        for head, content in zip(lines[1::2], lines[2::2], strict=False):
            if json.loads(head).get("type") == "event":
                found.append(json.loads(content))
    return found
