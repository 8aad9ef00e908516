"""The trace that a message continues: Sentry's headers, or the one of W3C Trace Context.

A sender writes what it wants: what is not of the right form is as good as not there.
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

__all__ = ["BAGGAGE", "ENQUEUED_AT", "SENTRY_TRACE", "enqueued_at", "incoming", "is_sampled", "sample_rand"]

_SENTRY_TRACE = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})(?:-([01]))?", re.ASCII)
#: https://www.w3.org/TR/trace-context/#traceparent-header: version ff and ids of nothing but zeros are invalid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII
)
_SAMPLE_RAND = re.compile(r"(?:^|,)\s*sentry-sample_rand=(0(?:\.[0-9]{1,20})?)(?:,|;|\s|$)", re.ASCII)
_SAMPLED_FLAG = 1
#: The year 5000: dates end, and floats do not.
_LAST = 1e11


def incoming(headers: Mapping[str, Any]) -> dict[str, str]:
    """The trace that a message continues, as Sentry's headers; empty if it continues none.

    Args:
        headers: a message's. Sentry's integration writes its own twice, the second time under ``headers``.
    """
    nested = headers.get("headers")
    for source in (headers, nested) if isinstance(nested, dict) else (headers,):
        found = _sentry_trace(source)
        if found is not None:
            baggage = source.get(BAGGAGE)
            if isinstance(baggage, str) and baggage.isascii() and 0 < len(baggage) <= MAX_TRACE_HEADER_CHARACTERS:
                return {SENTRY_TRACE: found, BAGGAGE: baggage}
            return {SENTRY_TRACE: found}
    return {}


def is_sampled(continued: Mapping[str, str]) -> bool | None:
    """What the sender has decided about the trace that it began; None if nothing."""
    match = _SENTRY_TRACE.fullmatch(continued.get(SENTRY_TRACE, ""))
    return match[3] == "1" if match and match[3] else None


def sample_rand(continued: Mapping[str, str]) -> float | None:
    """The random number of a trace, by which everybody on its way decides alike; None if the sender gave none."""
    match = _SAMPLE_RAND.search(continued.get(BAGGAGE, ""))
    return float(match[1]) if match else None


def enqueued_at(headers: Mapping[str, Any]) -> float | None:
    """When the message was enqueued, in seconds since the epoch, if the sender says."""
    at = headers.get(ENQUEUED_AT)
    return float(at) if isinstance(at, (int, float)) and not isinstance(at, bool) and 0 < at < _LAST else None


def _sentry_trace(headers: Mapping[str, Any]) -> str | None:
    given = headers.get(SENTRY_TRACE)
    if isinstance(given, str) and _SENTRY_TRACE.fullmatch(given):
        return given
    parent = headers.get(TRACEPARENT)
    match = _TRACEPARENT.fullmatch(parent) if isinstance(parent, str) else None
    if match is None:
        return None
    return f"{match[1]}-{match[2]}-{int(match[3], 16) & _SAMPLED_FLAG}"
