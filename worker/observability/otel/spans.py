"""The spans of one process: one for each request, and one for each batch, which is linked with those of its requests.

Celery's tracer runs after the batch has been computed, so the spans get the times that are known by then.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.states import SUCCESS

from producer.contract import BAGGAGE_HEADER
from producer.contract.telemetry import (
    BATCH_COUNT,
    MessagingOperation,
    context_of_sender,
    current_tracer,
    headers_of_current_span,
    mark_failed,
    messaging_attributes,
)
from worker.pool import work_context
from worker.pool.work_context import BatchContext
from worker.results.answer_facts import facts_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

__all__ = ["RECEIVED_AT", "RequestSpans"]

#: When the parent received a request, in seconds since the epoch: a header that goes no further than to the process.
RECEIVED_AT = "celeriac_received_at"
_UID = "celeriac.otel"


@dataclass
class _Active:
    """The span of the request that is being traced, and the context to leave at its end."""

    tracer: Tracer
    span: Span
    inside: contextlib.ExitStack


class _BatchSpan:
    """The span of a batch: a child of the first of its requests that is recorded, linked with each of them.

    So it is sampled if one of its requests is, and by the sampler's decision about that one.
    """

    def __init__(self, batch: BatchContext, tracer: Tracer, first: Span, attributes: Mapping[str, str | int]) -> None:
        from opentelemetry.trace import set_span_in_context

        self._batch = batch
        self._span = tracer.start_span(
            f"compute {batch.task}",
            context=set_span_in_context(first, _empty_context()),
            start_time=_ns(batch.started_at),
            attributes={**attributes, BATCH_COUNT: len(batch.requests)},
        )
        self._parent = first

    def link(self, span: Span) -> None:
        """Link it with the span of a request, and that one with it unless it is its parent."""
        self._span.add_link(span.get_span_context())
        if span is not self._parent:
            span.add_link(self._span.get_span_context())

    def end(self) -> None:
        """End it, when its results were computed."""
        ended_at = self._batch.ended_at
        self._span.end(None if ended_at is None else _ns(ended_at))


class RequestSpans:
    """Follows one request after another, by Celery's signals."""

    def __init__(self) -> None:
        self._active: _Active | None = None
        self._batch: BatchContext | None = None
        self._batch_span: _BatchSpan | None = None

    def connect(self) -> None:
        """Follow the requests of this process."""
        signals.task_prerun.connect(self.start, weak=False, dispatch_uid=_UID)
        signals.task_postrun.connect(self.finish, weak=False, dispatch_uid=_UID)
        signals.before_task_publish.connect(self.propagate, weak=False, dispatch_uid=_UID)

    def disconnect(self) -> None:
        """Follow no more requests."""
        for signal in (signals.task_prerun, signals.task_postrun, signals.before_task_publish):
            signal.disconnect(dispatch_uid=_UID)

    def start(self, task: Any, **_: object) -> None:
        """Start the span of a request when Celery starts to trace it."""
        tracer = current_tracer()
        if tracer is None:
            # It was to be set before the first request.
            self.disconnect()
            return
        from opentelemetry import context
        from opentelemetry.trace import SpanKind, set_span_in_context

        self._leave()
        headers, batch = vars(task.request), work_context.batch()
        begun_at = time.time() if batch is None else batch.started_at
        queue, sender = _queue_of(task), context_of_sender(headers)
        span = tracer.start_span(
            f"process {queue}",
            context=sender,
            kind=SpanKind.CONSUMER,
            attributes=messaging_attributes(MessagingOperation.PROCESS, queue, str(task.request.id)),
            start_time=_ns(_received_at(headers, begun_at)),
        )
        inside = contextlib.ExitStack()
        inside.callback(context.detach, context.attach(set_span_in_context(span, sender)))
        self._active = _Active(tracer, span, inside)

    def finish(self, task: Any, state: str | None, retval: Any, **_: object) -> None:
        """End the span when Celery has traced the request."""
        active = self._leave()
        if active is None:
            return
        span = active.span
        if span.is_recording():
            attributes = _facts(task)
            span.set_attributes(attributes)
            if state != SUCCESS and isinstance(retval, BaseException):
                mark_failed(span, retval)
            batch = work_context.batch()
            if batch is not None:
                self._span_of(batch, active, attributes).link(span)
        span.end()

    def propagate(self, headers: Any, **_: object) -> None:
        """Have what a request sends (linked tasks, retries) continue its trace."""
        headers.pop(RECEIVED_AT, None)
        if self._active is None:
            return
        own = headers_of_current_span()
        # Sentry may have put its own there.
        baggage = {name: value for name, value in headers.items() if name == BAGGAGE_HEADER}
        headers.update(own | baggage)

    def _span_of(self, batch: BatchContext, active: _Active, attributes: Mapping[str, str]) -> _BatchSpan:
        if self._batch_span is None or self._batch is not batch:
            self._batch = batch
            self._batch_span = _BatchSpan(batch, active.tracer, active.span, attributes)
            batch.at_end.append(self._end_batch)
        return self._batch_span

    def _end_batch(self) -> None:
        span, self._batch, self._batch_span = self._batch_span, None, None
        if span is not None:
            span.end()

    def _leave(self) -> _Active | None:
        """Leave the current request; if it was never finished, because Celery's tracer ended before, it has no span."""
        active, self._active = self._active, None
        if active is not None:
            active.inside.close()
        return active


def _empty_context() -> Context:
    from opentelemetry.context import Context

    return Context()


def _queue_of(task: Any) -> str:
    delivery = task.request.delivery_info
    queue = delivery.get("routing_key") if isinstance(delivery, Mapping) else None
    return str(queue or task.name)


def _facts(task: Any) -> dict[str, str]:
    facts = facts_of(task.request)
    known = {"celeriac.task": str(task.name)}
    if facts is None:
        return known
    return known | {
        "celeriac.model": facts.model,
        "celeriac.revision": facts.revision,
        "celeriac.arithmetic": facts.arithmetic,
    }


def _received_at(headers: Mapping[str, Any], begun_at: float) -> float:
    """When the parent received the request, in seconds since the epoch; when it was begun if that is not known."""
    received_at = headers.get(RECEIVED_AT)
    return received_at if isinstance(received_at, float) and 0 < received_at <= begun_at else begun_at


def _ns(at_s: float) -> int:
    return int(at_s * 1e9)
