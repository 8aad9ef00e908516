"""A transaction for each sampled request: from the computation of its batch on, until its result is given out.

Celery's tracer runs when the batch has been computed, so that the timestamps are those of the batch, given explicitly.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
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

__all__ = ["COMPUTE_BATCH", "connect", "decide"]

#: Operation and name of the span that a request shares with the others of its batch.
COMPUTE_BATCH = "inference", "compute batch"
_ORIGIN = "auto.queue.celeriac"


@dataclass
class _Active:
    """The transaction of the request that is traced, and what is undone at its end."""

    transaction: Transaction
    undo: contextlib.ExitStack


class _Traces:
    """Celery's signals around one request after another."""

    def __init__(self, served: Sequence[StoredModel], rate: float) -> None:
        self._served = served
        self._rate = rate
        self._active: _Active | None = None

    def start(self, task: Any, **_: object) -> None:
        """Celery begins to trace a request."""
        headers = vars(task.request)
        continued = incoming_trace.incoming(headers)
        is_sampled = decide(continued, self._rate)
        if is_sampled is False:
            return
        self._abandon()
        undo = contextlib.ExitStack()
        undo.enter_context(sentry_sdk.isolation_scope())
        transaction = sentry_sdk.continue_trace(
            continued, op=OP.QUEUE_TASK_CELERY, name=task.name, source=TransactionSource.TASK, origin=_ORIGIN
        )
        if not continued:
            transaction.sampled = True
        sentry_sdk.start_transaction(transaction)
        if not continued:
            # So that Sentry counts what this one stands for.
            transaction.sample_rate = self._rate
        if not transaction.sampled:
            undo.close()
            return
        batch = work_context.batch()
        if batch is not None:
            transaction.start_timestamp = _moment(batch.started_at)
        undo.enter_context(transaction)
        self._active = _Active(transaction, undo)

    def finish(self, task: Any, args: Any, kwargs: Any, state: str | None, retval: Any, **_: object) -> None:
        """Celery has traced it."""
        active, self._active = self._active, None
        if active is None:
            return
        with active.undo:
            transaction = active.transaction
            tags = tags_of(task, args, kwargs, self._served)
            for name, value in tags.items():
                transaction.set_tag(name, value)
            transaction.set_status(_status(state, retval))
            ended = datetime.now(UTC)
            self._add_spans(transaction, task, tags, ended)
            transaction.finish(end_timestamp=ended)

    def propagate(self, headers: Any, **_: object) -> None:
        """What a request sends (links, retries) continues its trace, sampled or not."""
        if self._active is not None:
            continued = dict(self._active.transaction.iter_headers())
        else:
            task: Any = current_task
            continued = incoming_trace.incoming(vars(task.request)) if task else {}
        for name, value in continued.items():
            headers.setdefault(name, value)

    def _add_spans(self, transaction: Transaction, task: Any, tags: Mapping[str, str], ended: datetime) -> None:
        """What Sentry's own integration has, ``queue.process``, and in it the computation of the batch."""
        begun = transaction.start_timestamp
        process = transaction.start_child(
            op=OP.QUEUE_PROCESS, name=task.name, start_timestamp=begun, origin=_ORIGIN, status=transaction.status
        )
        request = task.request
        process.set_data(SPANDATA.MESSAGING_SYSTEM, "redis")
        process.set_data(SPANDATA.MESSAGING_MESSAGE_ID, request.id)
        process.set_data(SPANDATA.MESSAGING_MESSAGE_RETRY_COUNT, request.retries)
        if "queue" in tags:
            process.set_data(SPANDATA.MESSAGING_DESTINATION_NAME, tags["queue"])
        enqueued_at = incoming_trace.enqueued_at(vars(request))
        if enqueued_at is not None:
            waited_ms = max(0.0, begun.timestamp() - enqueued_at) * 1000
            process.set_data(SPANDATA.MESSAGING_MESSAGE_RECEIVE_LATENCY, waited_ms)
        batch = work_context.batch()
        if batch is not None and batch.ended_at is not None:
            operation, name = COMPUTE_BATCH
            computed = process.start_child(op=operation, name=name, start_timestamp=begun, origin=_ORIGIN)
            for tag in ("model", "revision", "batch_size", "tokens"):
                if tag in tags:
                    computed.set_data(tag, int(tags[tag]) if tags[tag].isdigit() else tags[tag])
            computed.finish(end_timestamp=_moment(batch.ended_at))
        process.finish(end_timestamp=ended)

    def _abandon(self) -> None:
        """End what was never finished: something between the two signals ended the tracer."""
        if self._active is not None:
            self._active.transaction.sampled = False
            self._active.undo.close()
            self._active = None


def connect(served: Sequence[StoredModel], rate: float) -> None:
    """Trace the requests of this process.

    Args:
        served: the worker's models.
        rate: share of the traces that begin here, from 0 to 1; of others their sender has decided.
    """
    traces = _Traces(served, rate)
    signals.task_prerun.connect(traces.start, weak=False, dispatch_uid="celeriac.sentry.start")
    signals.task_postrun.connect(traces.finish, weak=False, dispatch_uid="celeriac.sentry.finish")
    signals.before_task_publish.connect(traces.propagate, weak=False, dispatch_uid="celeriac.sentry.propagate")


def decide(continued: Mapping[str, str], rate: float) -> bool | None:
    """Whether a request is sampled, as Sentry's client would decide, but before anything is made for it.

    Returns:
        None where only the client can tell: the sender's trace has neither a decision nor a random number.
    """
    if not continued:
        return random.random() < rate  # noqa: S311 - a sample
    decided = incoming_trace.is_sampled(continued)
    if decided is not None:
        return decided
    by_trace = incoming_trace.sample_rand(continued)
    return None if by_trace is None else by_trace < rate


def _status(state: str | None, retval: Any) -> str:
    if state == SUCCESS:
        return "ok"
    return "invalid_argument" if isinstance(retval, RequestError) else "internal_error"


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
