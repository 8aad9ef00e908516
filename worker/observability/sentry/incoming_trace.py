"""Reads the trace that a message continues, from Sentry's headers or from the header of W3C Trace Context.

Senders can write anything into headers. A header that does not have the right form is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from producer.contract import BAGGAGE_HEADER as BAGGAGE
from producer.contract import MAX_TRACE_HEADER_CHARACTERS
from producer.contract import SENTRY_ENQUEUED_TIME_HEADER as ENQUEUED_AT
from producer.contract import SENTRY_TRACE_HEADER as SENTRY_TRACE
from producer.contract import TRACEPARENT_HEADER as TRACEPARENT

__all__ = ["BAGGAGE", "ENQUEUED_AT", "SENTRY_TRACE", "enqueued_at", "is_sampled", "read_trace", "sample_rand"]

_SENTRY_TRACE = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})(?:-([01]))?", re.ASCII)
#: https://www.w3.org/TR/trace-context/#traceparent-header: version ff and all-zero ids are invalid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII
)
_SAMPLE_RAND = re.compile(r"(?:^|,)\s*sentry-sample_rand=(0(?:\.[0-9]{1,20})?)(?:,|;|\s|$)", re.ASCII)
_SAMPLED_FLAG = 1
#: The year 5138, in seconds since the epoch. A datetime cannot represent every float.
_MAX_TIME_S = 1e11


def read_trace(headers: Mapping[str, Any]) -> dict[str, str]:
    """Read the trace that a message continues, as Sentry's headers; empty if it continues none.

    Args:
        headers: the message's headers. Sentry's integration writes its own twice, the second time under ``headers``.
    """
    nested = headers.get("headers")
    for source in (headers, nested) if isinstance(nested, dict) else (headers,):
        trace = _sentry_trace(source)
        if trace is not None:
            baggage = source.get(BAGGAGE)
            if isinstance(baggage, str) and baggage.isascii() and 0 < len(baggage) <= MAX_TRACE_HEADER_CHARACTERS:
                return {SENTRY_TRACE: trace, BAGGAGE: baggage}
            return {SENTRY_TRACE: trace}
    return {}


def is_sampled(continued: Mapping[str, str]) -> bool | None:
    """The sampling decision of the trace's sender; None if it has made none."""
    match = _SENTRY_TRACE.fullmatch(continued.get(SENTRY_TRACE, ""))
    return match[3] == "1" if match and match[3] else None


def sample_rand(continued: Mapping[str, str]) -> float | None:
    """The random number by which all services of a trace make the same decision; None if the sender sent none."""
    match = _SAMPLE_RAND.search(continued.get(BAGGAGE, ""))
    return float(match[1]) if match else None


def enqueued_at(headers: Mapping[str, Any]) -> float | None:
    """When the message was enqueued, in seconds since the epoch; None if the sender did not say."""
    at = headers.get(ENQUEUED_AT)
    return float(at) if isinstance(at, (int, float)) and not isinstance(at, bool) and 0 < at < _MAX_TIME_S else None


def _sentry_trace(headers: Mapping[str, Any]) -> str | None:
    trace = headers.get(SENTRY_TRACE)
    if isinstance(trace, str) and _SENTRY_TRACE.fullmatch(trace):
        return trace
    parent = headers.get(TRACEPARENT)
    match = _TRACEPARENT.fullmatch(parent) if isinstance(parent, str) else None
    if match is None:
        return None
    return f"{match[1]}-{match[2]}-{int(match[3], 16) & _SAMPLED_FLAG}"
