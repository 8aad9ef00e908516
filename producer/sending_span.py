"""The OpenTelemetry span of sending one request; without a tracer provider there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from producer.contract import queue_name
from producer.contract.telemetry import MessagingOperation, current_tracer, mark_failed, messaging_attributes
from producer.message import Submission

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["sending_span"]

_NO_SPAN = nullcontext()


def sending_span(submission: Submission, request_id: str) -> AbstractContextManager[None]:
    """The span around building and sending a message. It is the current one inside, so that the message continues it.

    Args:
        submission: what is sent.
        request_id: the request's id, which is that of its message.
    """
    tracer = current_tracer()
    if tracer is None:
        return _NO_SPAN
    return _span(tracer, queue_name(submission.request.task, submission.queue_class), request_id)


@contextmanager
def _span(tracer: Tracer, queue: str, request_id: str) -> Iterator[None]:
    from opentelemetry.trace import SpanKind

    with tracer.start_as_current_span(
        f"send {queue}",
        kind=SpanKind.PRODUCER,
        attributes=messaging_attributes(MessagingOperation.SEND, queue, request_id),
        # An exception's message could quote a text.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            mark_failed(span, error)
            raise
