"""The message headers that producer and worker add to Celery's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    "sending_of",
]

#: The contract version of the message; a message without it is treated as the current version.
VERSION_HEADER = "celeriac_contract_version"
#: When the message was sent, in seconds since the Unix epoch; workers measure queueing times from it.
SENT_AT_HEADER = "celeriac_sent_at"
#: Set if the sender chose the id, and messages with this id are one request: a worker computes only one of them. It
#: names this sending, and stays with the message when it is moved or sent again; true stands for the delivery tag.
ONCE_HEADER = "celeriac_once"
#: Longest name of a sending, in characters.
_MAX_SENDING_CHARACTERS = 100

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


def sending_of(headers: Mapping[str, Any], delivery_tag: str) -> str | None:
    """The name of the sending that a message is, if other messages with its id are the same request; else None.

    Args:
        headers: of the message. Senders can write anything into them.
        delivery_tag: of the message.
    """
    name = headers.get(ONCE_HEADER)
    if name is True:
        return delivery_tag
    return name if isinstance(name, str) and 0 < len(name) <= _MAX_SENDING_CHARACTERS else None
