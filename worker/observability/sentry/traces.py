"""Sends a transaction for each sampled request, from the start of its batch until its result is returned.

Celery's tracer runs after the batch has been computed, so timestamps are set explicitly, to those of the batch.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sentry_sdk
from celery import current_task, signals
from celery.states import SUCCESS
from sentry_sdk.consts import OP, SPANDATA
from sentry_sdk.tracing import Transaction, TransactionSource

from models.store import StoredModel
from producer.contract import RequestError
from worker.observability.sentry import incoming_trace
from worker.observability.sentry.tags import tags_of
from worker.pool import work_context

__all__ = ["COMPUTE_BATCH", "connect", "sampling_decision"]

#: Operation and name of the span that all requests of a batch share.
COMPUTE_BATCH = "inference", "compute batch"
_ORIGIN = "auto.queue.celeriac"


@dataclass
class _Active:
    """The transaction of the current request, and the contexts to leave at its end."""

    transaction: Transaction
    contexts: contextlib.ExitStack


class _Traces:
    """Traces one request after another, by Celery's signals."""

    def __init__(self, served: Callable[[], Sequence[StoredModel]], rate: float) -> None:
        self._served = served
        self._rate = rate
        self._active: _Active | None = None

    def start(self, task: Any, **_: object) -> None:
        """Start a transaction when Celery starts to trace a request."""
        headers = vars(task.request)
        continued = incoming_trace.read_trace(headers)
        is_sampled = sampling_decision(continued, self._rate)
        if is_sampled is False:
            return
        self._abandon()
        contexts = contextlib.ExitStack()
        contexts.enter_context(sentry_sdk.isolation_scope())
        transaction = sentry_sdk.continue_trace(
            continued, op=OP.QUEUE_TASK_CELERY, name=task.name, source=TransactionSource.TASK, origin=_ORIGIN
        )
        if not continued:
            transaction.sampled = True
        sentry_sdk.start_transaction(transaction)
        if not continued:
            # Sentry extrapolates from the rate.
            transaction.sample_rate = self._rate
        if not transaction.sampled:
            contexts.close()
            return
        batch = work_context.batch()
        if batch is not None:
            transaction.start_timestamp = _utc(batch.started_at)
        contexts.enter_context(transaction)
        self._active = _Active(transaction, contexts)

    def finish(self, task: Any, args: Any, kwargs: Any, state: str | None, retval: Any, **_: object) -> None:
        """Finish the transaction when Celery has traced the request."""
        active, self._active = self._active, None
        if active is None:
            return
        with active.contexts:
            transaction = active.transaction
            tags = tags_of(task, args, kwargs, self._served())
            for name, value in tags.items():
                transaction.set_tag(name, value)
            transaction.set_status(_status(state, retval))
            ended = datetime.now(UTC)
            self._add_spans(transaction, task, tags, ended)
            transaction.finish(end_timestamp=ended)

    def propagate(self, headers: Any, **_: object) -> None:
        """Add the current trace, sampled or not, to the messages that a request sends (linked tasks, retries)."""
        if self._active is not None:
            continued = dict(self._active.transaction.iter_headers())
        else:
            task: Any = current_task
            continued = incoming_trace.read_trace(vars(task.request)) if task else {}
        for name, value in continued.items():
            headers.setdefault(name, value)

    def _add_spans(self, transaction: Transaction, task: Any, tags: Mapping[str, str], ended: datetime) -> None:
        """Add Sentry's usual span ``queue.process``, and inside it the computation of the batch."""
        started = transaction.start_timestamp
        process = transaction.start_child(
            op=OP.QUEUE_PROCESS, name=task.name, start_timestamp=started, origin=_ORIGIN, status=transaction.status
        )
        request = task.request
        process.set_data(SPANDATA.MESSAGING_SYSTEM, "redis")
        process.set_data(SPANDATA.MESSAGING_MESSAGE_ID, request.id)
        process.set_data(SPANDATA.MESSAGING_MESSAGE_RETRY_COUNT, request.retries)
        if "queue" in tags:
            process.set_data(SPANDATA.MESSAGING_DESTINATION_NAME, tags["queue"])
        enqueued_at = incoming_trace.enqueued_at(vars(request))
        if enqueued_at is not None:
            waited_ms = max(0.0, started.timestamp() - enqueued_at) * 1000
            process.set_data(SPANDATA.MESSAGING_MESSAGE_RECEIVE_LATENCY, waited_ms)
        batch = work_context.batch()
        if batch is not None and batch.ended_at is not None:
            operation, name = COMPUTE_BATCH
            computed = process.start_child(op=operation, name=name, start_timestamp=started, origin=_ORIGIN)
            for tag in ("model", "revision", "arithmetic", "batch_size", "tokens"):
                if tag in tags:
                    computed.set_data(tag, int(tags[tag]) if tags[tag].isdigit() else tags[tag])
            computed.finish(end_timestamp=_utc(batch.ended_at))
        process.finish(end_timestamp=ended)

    def _abandon(self) -> None:
        """Drop a transaction that was never finished, because Celery's tracer ended between the two signals."""
        if self._active is not None:
            self._active.transaction.sampled = False
            self._active.contexts.close()
            self._active = None


def connect(served: Callable[[], Sequence[StoredModel]], rate: float) -> None:
    """Trace the requests of this process.

    Args:
        served: returns the worker's models.
        rate: share of new traces to sample, from 0 to 1. Traces that a sender has started follow its decision.
    """
    traces = _Traces(served, rate)
    signals.task_prerun.connect(traces.start, weak=False, dispatch_uid="celeriac.sentry.start")
    signals.task_postrun.connect(traces.finish, weak=False, dispatch_uid="celeriac.sentry.finish")
    signals.before_task_publish.connect(traces.propagate, weak=False, dispatch_uid="celeriac.sentry.propagate")


def sampling_decision(continued: Mapping[str, str], rate: float) -> bool | None:
    """Whether to sample a request. This is the decision of Sentry's SDK, made before any object is created.

    Returns:
        None if only the SDK can decide: the sender's trace has neither a decision nor a random number.
    """
    if not continued:
        return random.random() < rate  # noqa: S311 - sampling
    decision = incoming_trace.is_sampled(continued)
    if decision is not None:
        return decision
    sample_rand = incoming_trace.sample_rand(continued)
    return None if sample_rand is None else sample_rand < rate


def _status(state: str | None, retval: Any) -> str:
    if state == SUCCESS:
        return "ok"
    return "invalid_argument" if isinstance(retval, RequestError) else "internal_error"


def _utc(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
