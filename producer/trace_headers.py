"""The message headers that continue the caller's trace in the worker.

Neither Sentry nor OpenTelemetry is required. Each is used only if the caller has already imported it and set it up.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from producer.contract import (
    BAGGAGE_HEADER,
    SENTRY_ENQUEUED_TIME_HEADER,
    SENTRY_TRACE_HEADER,
    TRACE_HEADERS,
)
from producer.contract.telemetry import can_be_sent, headers_of_current_span

__all__ = ["TraceHeaderSource", "collect_trace_headers", "current_trace_headers", "sentry_trace_headers"]

logger = logging.getLogger(__name__)

#: Returns the headers that continue the current trace of the calling code.
TraceHeaderSource = Callable[[], Mapping[str, str]]


class _SentrySdk(Protocol):
    """What is used of ``sentry_sdk``, which this package does not depend on."""

    def is_initialized(self) -> bool: ...

    def get_traceparent(self) -> str | None: ...

    def get_baggage(self) -> str | None: ...


def collect_trace_headers(source: TraceHeaderSource) -> dict[str, str | float]:
    """Call ``source`` and return those of its headers that can be sent.

    Headers other than :data:`~producer.contract.headers.TRACE_HEADERS` and values that are not valid are dropped. If
    ``source`` raises, a warning is logged and the request is sent without a trace.
    """
    try:
        given = source()
        headers: dict[str, str | float] = {name: given[name] for name in TRACE_HEADERS if can_be_sent(given.get(name))}
    except Exception:
        logger.warning("trace_headers raised; the request is sent without its trace", exc_info=True)
        return {}
    if SENTRY_TRACE_HEADER in headers:
        headers[SENTRY_ENQUEUED_TIME_HEADER] = time.time()
    return headers


def current_trace_headers() -> Mapping[str, str]:
    """The headers of Sentry's current trace and of OpenTelemetry's current span, of those that are set up."""
    sentry, span = sentry_trace_headers(), headers_of_current_span()
    headers = {**sentry, **span}
    if BAGGAGE_HEADER in sentry and BAGGAGE_HEADER in span:
        headers[BAGGAGE_HEADER] = _joined_baggage(span[BAGGAGE_HEADER], sentry[BAGGAGE_HEADER])
    return headers


def sentry_trace_headers() -> Mapping[str, str]:
    """The headers of Sentry's current trace; empty unless the caller has initialized its SDK."""
    sdk = cast("_SentrySdk | None", sys.modules.get("sentry_sdk"))
    if sdk is None or not sdk.is_initialized():
        return {}
    headers = {SENTRY_TRACE_HEADER: sdk.get_traceparent(), BAGGAGE_HEADER: sdk.get_baggage()}
    return {name: value for name, value in headers.items() if value is not None}


def _joined_baggage(first: str, second: str) -> str:
    """The members of both lists; those of the second take precedence, alone if both are too long together."""
    members = [member.strip() for member in f"{first},{second}".split(",") if member.strip()]
    joined = ",".join({member.partition("=")[0].strip(): member for member in members}.values())
    return joined if can_be_sent(joined) else second
