"""The caller's trace in a message's headers, so that the worker's part of it hangs where the caller asked.

Neither Sentry nor OpenTelemetry is needed: what the caller has loaded is used.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["TRACE_HEADERS", "TraceHeaders", "collect", "from_sentry"]

logger = logging.getLogger(__name__)

#: Gives the headers that continue the trace of whoever calls.
TraceHeaders = Callable[[], Mapping[str, str]]

#: Sentry's, and W3C Trace Context with its baggage; whatever else a function gives is not sent.
TRACE_HEADERS = ("sentry-trace", "traceparent", "tracestate", "baggage")
#: https://www.w3.org/TR/baggage/#limits
_MAX_CHARACTERS = 8192
#: From which Sentry knows how long a request has waited.
_ENQUEUED_AT = "sentry-task-enqueued-time"


def collect(function: TraceHeaders) -> dict[str, Any]:
    """What ``function`` gives, as headers of a message; nothing if it fails: a request does not end over its trace."""
    try:
        given = function()
        found: dict[str, Any] = {name: given[name] for name in TRACE_HEADERS if _is_usable(given.get(name))}
    except Exception:
        logger.warning("trace_headers failed, so that a request goes without its trace", exc_info=True)
        return {}
    if "sentry-trace" in found:
        found[_ENQUEUED_AT] = time.time()
    return found


def from_sentry() -> Mapping[str, str]:
    """Sentry's headers where the caller has set up its SDK, else none."""
    sdk: Any = sys.modules.get("sentry_sdk")
    if sdk is None or not sdk.is_initialized():
        return {}
    return {"sentry-trace": sdk.get_traceparent(), "baggage": sdk.get_baggage()}


def _is_usable(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_CHARACTERS and value.isascii() and value.isprintable()
