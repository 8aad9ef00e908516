"""The message headers that producer and worker add to Celery's own."""

from __future__ import annotations

__all__ = [
    "BAGGAGE_HEADER",
    "MAX_TRACE_HEADER_CHARACTERS",
    "ONCE_HEADER",
    "SENTRY_ENQUEUED_TIME_HEADER",
    "SENTRY_TRACE_HEADER",
    "SENT_AT_HEADER",
    "TRACEPARENT_HEADER",
    "TRACESTATE_HEADER",
    "TRACE_HEADERS",
    "VERSION_HEADER",
]

#: The contract version of the message; a message without it is treated as the current version.
VERSION_HEADER = "celeriac_contract_version"
#: When the message was sent, in seconds since the Unix epoch; workers measure queueing times from it.
SENT_AT_HEADER = "celeriac_sent_at"
#: True if the sender chose the id, and messages with this id are one request: a worker computes only one of them.
ONCE_HEADER = "celeriac_once"

#: Sentry's trace id, parent span id and sampling decision.
SENTRY_TRACE_HEADER = "sentry-trace"
#: https://www.w3.org/TR/trace-context/#traceparent-header
TRACEPARENT_HEADER = "traceparent"
#: https://www.w3.org/TR/trace-context/#tracestate-header
TRACESTATE_HEADER = "tracestate"
#: https://www.w3.org/TR/baggage/#baggage-http-header-format; Sentry puts its sampling context here.
BAGGAGE_HEADER = "baggage"
#: When Sentry's SDK enqueued the message, in seconds since the Unix epoch.
SENTRY_ENQUEUED_TIME_HEADER = "sentry-task-enqueued-time"
#: The headers that continue a caller's trace.
TRACE_HEADERS = (SENTRY_TRACE_HEADER, TRACEPARENT_HEADER, TRACESTATE_HEADER, BAGGAGE_HEADER)
#: Longest value of a trace header, in characters: https://www.w3.org/TR/baggage/#limits
MAX_TRACE_HEADER_CHARACTERS = 8192
