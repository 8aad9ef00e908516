"""A real HTTP server in the place of an OpenTelemetry collector: takes OTLP, and shows the spans that are in it."""

from __future__ import annotations

import gzip
import http.server
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.http_server import LocalHttpServer

__all__ = ["OtlpSink", "ReceivedSpan"]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it was exported; times in seconds since the epoch, ids in hexadecimal."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    started_at: float
    ended_at: float
    is_error: bool
    attributes: Mapping[str, str | int]


class OtlpSink(LocalHttpServer):
    """Keeps what exporters send to it."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.received: list[bytes] = []

    @property
    def environment(self) -> dict[str, str]:
        """What makes OpenTelemetry's SDK export to it, and nothing but spans."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }

    @property
    def spans(self) -> list[ReceivedSpan]:
        """All spans so far."""
        return [span for body in self.received for span in _spans_in(body)]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        owner: Any = self.server
        owner.owner.received.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing to the standard error."""


def _spans_in(body: bytes) -> list[ReceivedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        _received(str(_values(group.resource.attributes).get("service.name")), span)
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _received(service: str, span: Span) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        started_at=span.start_time_unix_nano / 1e9,
        ended_at=span.end_time_unix_nano / 1e9,
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
    )


def _values(attributes: Any) -> dict[str, str | int]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
