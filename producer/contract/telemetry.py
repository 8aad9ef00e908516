"""What OpenTelemetry's spans of producers and workers have in common: the tracer, attributes, and context in headers.

Nothing is imported unless the application has imported OpenTelemetry's API, and nothing is done unless it has set a
tracer provider. The spans follow https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from producer.contract.headers import MAX_TRACE_HEADER_CHARACTERS, TRACE_HEADERS
from producer.errors import RequestError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = [
    "BATCH_COUNT",
    "MessagingOperation",
    "can_be_sent",
    "context_of_sender",
    "current_tracer",
    "headers_of_current_span",
    "mark_failed",
    "messaging_attributes",
]

_NAME = "celeriac"
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
#: How many requests a worker has computed together; only on the span of a batch.
BATCH_COUNT = "messaging.batch.message_count"


class MessagingOperation(StrEnum):
    """What a span does with a message: the name and the type of its operation."""

    SEND = "send"
    PROCESS = "process"


def current_tracer() -> Tracer | None:
    """Our tracer of the application's tracer provider; None if it has set none."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    # An import, and not the module itself, waits for another thread that is importing it.
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else _tracer_of(provider)


@lru_cache(maxsize=1)
def _tracer_of(provider: TracerProvider) -> Tracer:
    return provider.get_tracer(_NAME, schema_url=_SCHEMA_URL)


def messaging_attributes(operation: MessagingOperation, queue: str, message_id: str) -> dict[str, str]:
    """The attributes of a span that sends or processes a message.

    The system is Celery, whose messages these are, as in Kafka's client libraries it is Kafka whatever server answers.
    """
    return {
        "messaging.system": "celery",
        "messaging.operation.name": operation.value,
        "messaging.operation.type": operation.value,
        "messaging.destination.name": queue,
        "messaging.message.id": message_id,
    }


def mark_failed(span: Span, error: BaseException) -> None:
    """Record the kind of an error: the contract's code, or the exception's class. Its message could quote a text."""
    from opentelemetry.trace import StatusCode

    kind = type(error)
    code = error.details["code"] if isinstance(error, RequestError) else f"{kind.__module__}.{kind.__qualname__}"
    span.set_attribute("error.type", code.removeprefix("builtins."))
    span.set_status(StatusCode.ERROR)


def headers_of_current_span() -> dict[str, str]:
    """The headers that continue the current span, as ``OTEL_PROPAGATORS`` says; empty without a tracer provider."""
    if current_tracer() is None:
        return {}
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return {name: value for name, value in carrier.items() if name in TRACE_HEADERS}


def context_of_sender(headers: Mapping[str, Any]) -> Context:
    """The context of a message's sender. Senders can write anything into headers; what has no right form is ignored."""
    from opentelemetry import context, propagate

    carrier = {name: headers[name] for name in TRACE_HEADERS if can_be_sent(headers.get(name))}
    return propagate.extract(carrier, context=context.Context())


def can_be_sent(value: object) -> bool:
    """Whether this can be the value of a trace header."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_TRACE_HEADER_CHARACTERS
        and value.isascii()
        and value.isprintable()
    )
