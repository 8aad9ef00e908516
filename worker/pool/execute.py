"""What a pool process does with a batch: compute all results, then trace each request with its own."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import signal
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, auto
from functools import partial
from typing import Any, NamedTuple

from billiard.common import terminate_handler_fired
from billiard.einfo import ExceptionInfo
from billiard.pool import MaybeEncodingError
from celery import current_app
from celery.app import trace
from celery.app.task import Context
from celery.backends.base import Backend
from celery.exceptions import Reject, SoftTimeLimitExceeded
from celery.states import STARTED

from worker.pool import work_context
from worker.pool.batch_task import BatchTask, Call, TaskResult
from worker.pool.celery_adapter import Payload, Tracer, is_member_of_chord, process_app
from worker.pool.claims import MAX_ATTEMPTS, Claim, Claimer, FirstClaim, claim_all, take_all
from worker.pool.exception_info import exception_info

__all__ = ["BatchReport", "CallOutcome", "CallReport", "DispatchedRequest", "run_batch", "use_batch_clock"]

logger = logging.getLogger(__name__)

#: A process that took longer may have been stopped meanwhile, in seconds. No lease is shorter.
_SUSPECT_S = 1.0


class CallOutcome(Enum):
    """What became of one request of a batch in the process."""

    #: It passed through Celery's tracer, and its result is stored.
    TRACED = auto()
    #: It passed through Celery's tracer, but its result could not be stored: the broker delivers it again.
    NOT_STORED = auto()
    #: Celery's tracer raised.
    RAISED = auto()
    #: It had expired before the computation.
    EXPIRED = auto()
    #: Its result is stored already, with the state that is reported, or is that of another message with its id.
    STORED = auto()
    #: It was begun too often; the attempts that are known are reported.
    GIVEN_UP = auto()
    #: Another worker has claimed it since: it is that worker's.
    SUPERSEDED = auto()
    #: Something went wrong, possibly because of it: it has to run again, alone.
    REQUEUE_ALONE = auto()
    #: Something went wrong, not because of it: it has to run again.
    REQUEUE = auto()


#: What the parent gets for each request: its outcome, and what the tracer returned (TRACED, NOT_STORED) or raised
#: (RAISED), or what was found before the computation (STORED, GIVEN_UP).
CallReport = tuple[CallOutcome, Any]


class BatchReport(NamedTuple):
    """What the process sends back."""

    #: One per request, in order.
    calls: list[CallReport]
    #: Resources that the computation used, see :meth:`BatchTask.take_usage`.
    usage: object
    #: The number of each request's attempt; None if it has to be claimed before it is computed.
    attempts: Sequence[int | None] = ()


#: How long a first attempt may wait in a pipe unclaimed, in seconds. A process that was stopped for longer finds
#: requests there whose messages have gone back since, when the connection was lost, and were computed elsewhere.
_FRESH_S = 1.0


class DispatchedRequest(NamedTuple):
    """One request of a batch, as it is sent to the process."""

    task: str
    task_id: str
    headers: dict[str, Any]
    #: Decoded by the parent.
    payload: Payload
    soft_limit_s: float | None
    #: When it is too late to begin, as in the parent's :class:`celery.worker.request.Request`.
    expires: datetime | None
    #: Names its message, whoever holds it.
    tag: str = ""
    #: The number of its attempt; None if it has to be claimed first.
    attempt: int | None = 1
    #: When it was sent to the process, by the host's monotonic clock in seconds.
    sent_at_s: float = math.inf

    def must_be_claimed(self) -> bool:
        """Whether somebody else may have begun it: it was delivered before, or has waited in this process's pipe."""
        return self.attempt is None or (self.attempt == 1 and time.monotonic() - self.sent_at_s > _FRESH_S)


def use_batch_clock(sender: str | None = None, **_: object) -> None:
    """Make the tracer of every batch task measure each request's share of its batch.

    Args:
        sender: the worker's node name, as ``worker_process_init`` sends it.
    """
    app = process_app()
    for name, task in app.tasks.items():
        if isinstance(task, BatchTask):
            task.__trace__ = trace.build_tracer(name, task, app.loader, sender, app=app, monotonic=task.clock)


def run_batch(target: Tracer, requests: Sequence[DispatchedRequest]) -> BatchReport:
    """Compute a batch and store its results.

    Args:
        target: Celery's tracer.
        requests: for one task; at least one.
    """
    started_s = time.monotonic()
    task = current_app.tasks[requests[0].task]
    try:
        claims = _claim(task.backend, requests)
        unfit = [_unfit(task.backend, request, claim) for request, claim in zip(requests, claims, strict=True)]
        unfit = _take(task, requests, unfit)
    except Exception as error:
        # Whether their results are stored is unknown, and they could not be stored now.
        logger.exception("could not claim %d requests, which go back to the broker", len(requests))
        return BatchReport([_not_stored(error)] * len(requests), task.take_usage())
    to_compute = [request for request, report in zip(requests, unfit, strict=True) if report is None]
    batch = work_context.begin(to_compute)
    try:
        results = iter(_compute(to_compute, started_s) if to_compute else [])
        computed = [report or next(results) for report in unfit]
        batch.mark_computed()
        to_trace = [
            _Computed(request, claim.attempt, result)
            for request, claim, result in zip(requests, claims, computed, strict=True)
            if isinstance(result, TaskResult)
        ]
        # What has to run alone is claimed then.
        attempts = [claim.attempt if claim.may_begin else None for claim in claims]
        traced = iter(_trace(target, task.backend, to_trace, time.monotonic() - started_s))
        return BatchReport([_report(result, traced) for result in computed], task.take_usage(), attempts)
    finally:
        work_context.end()


class _Computed(NamedTuple):
    request: DispatchedRequest
    attempt: int
    result: TaskResult


def _report(result: TaskResult | CallOutcome | CallReport, traced: Iterator[CallReport]) -> CallReport:
    if isinstance(result, TaskResult):
        return next(traced)
    return (result, None) if isinstance(result, CallOutcome) else result


def _claim(backend: Backend, requests: Sequence[DispatchedRequest]) -> list[Claim]:
    """Claim the requests that others may have begun; the others are first attempts."""
    is_claimed = [request.must_be_claimed() for request in requests]
    again = [request for request, must in zip(requests, is_claimed, strict=True) if must]
    worker = str(again[0].headers.get("hostname")) if again else ""
    pairs = [(request.task_id, request.tag) for request in again]
    claimed = iter(claim_all(backend, pairs, worker, together=len(requests) > 1))
    return [
        next(claimed) if must else FirstClaim(request.attempt or 1)
        for request, must in zip(requests, is_claimed, strict=True)
    ]


def _unfit(backend: Backend, request: DispatchedRequest, claim: Claim) -> CallReport | TaskResult | None:
    """What to report or to trace of a request instead of computing it; None if it is to be computed."""
    if claim.stored is not None:
        # The result of a chord's member is stored before the chord counts it.
        return _stored(backend, request) if is_member_of_chord(request.payload) else (CallOutcome.STORED, claim.stored)
    if not claim.may_begin:
        is_over = len(claim.history) >= MAX_ATTEMPTS
        return (CallOutcome.GIVEN_UP, claim.history) if is_over else (CallOutcome.REQUEUE_ALONE, None)
    return (CallOutcome.EXPIRED, None) if _is_late(request.expires) else None


def _take(
    task: BatchTask, requests: Sequence[DispatchedRequest], unfit: Sequence[CallReport | TaskResult | None]
) -> list[CallReport | TaskResult | None]:
    """Find out which requests are computed as other messages with their ids, or were."""
    names = [task.sending_of(request.headers, request.tag) for request in requests]
    rows = list(zip(requests, names, unfit, strict=True))
    others = take_all(task.backend, [(r.task_id, name) for r, name, report in rows if name and report is None])
    return [
        (CallOutcome.STORED, others[name]) if report is None and name in others else report for _, name, report in rows
    ]


def _stored(backend: Backend, request: DispatchedRequest) -> TaskResult:
    meta = backend.get_task_meta(request.task_id, cache=False)
    value = meta["result"]
    return TaskResult(error=value) if isinstance(value, BaseException) else TaskResult(value)


def _compute(requests: Sequence[DispatchedRequest], started_s: float) -> list[TaskResult | CallOutcome]:
    task = current_app.tasks[requests[0].task]
    try:
        _announce_started(task, requests)
        results = _isolate(task, [Call(request.headers, *request.payload[:2]) for request in requests])
    except SoftTimeLimitExceeded:
        return _interrupted(requests, time.monotonic() - started_s)
    share_s = (time.monotonic() - started_s) / len(requests)
    return [replace(result, seconds=share_s) if isinstance(result, TaskResult) else result for result in results]


def _announce_started(task: BatchTask, requests: Sequence[DispatchedRequest]) -> None:
    """Store that the requests have started, if the task wants it: the tracer would do so after the computation."""
    if not task.track_started:
        return
    try:
        attempts = {request.task_id: (request.tag, request.attempt or 1) for request in requests}
        with _storing_together(task.backend, attempts):
            for request in requests:
                context = Context(request.headers)
                if not trace.get_actual_ignore_result(task, context):
                    started = {"pid": os.getpid(), "hostname": request.headers.get("hostname")}
                    task.backend.store_result(request.task_id, started, STARTED, request=context)
    except SoftTimeLimitExceeded:
        raise
    except Exception:
        logger.exception("could not store that %d requests have started", len(requests))


def _trace(target: Tracer, backend: Backend, computed: Sequence[_Computed], after_s: float) -> list[CallReport]:
    """Run Celery's tracer for each request; what they store is stored together."""
    lost = _superseded(backend, computed) if after_s > _SUSPECT_S else frozenset()
    ours = [one for one in computed if one.request.task_id not in lost]
    attempts = {request.task_id: (request.tag, attempt) for request, attempt, _ in ours}
    traced: dict[str, CallReport] = {}
    try:
        if ours:
            with _signals_deferred(), _storing_together(backend, attempts) as superseded:
                traced = {request.task_id: _trace_one(target, request, result) for request, _, result in ours}
            lost |= superseded
    except Exception as error:
        # No result is stored: whichever worker gets the requests next stores them.
        logger.exception("could not store the results of %d requests, which go back to the broker", len(computed))
        return [_not_stored(error)] * len(computed)
    if lost:
        problem = "%d requests are another worker's by now: their results are not stored"
        logger.warning(problem, len(lost), extra={"task_ids": sorted(lost)})
    ids = [one.request.task_id for one in computed]
    return [(CallOutcome.SUPERSEDED, None) if task_id in lost else traced[task_id] for task_id in ids]


def _superseded(backend: Backend, computed: Sequence[_Computed]) -> frozenset[str]:
    """The requests that another worker has claimed since.

    The script that stores results finds that out as well. But links and chords are told before, so a process that may
    have been stopped for a while asks first.
    """
    if not computed or not isinstance(backend, Claimer):
        return frozenset()
    known = backend.count_attempts([one.request.tag for one in computed])
    return frozenset(one.request.task_id for one, count in zip(computed, known, strict=True) if count > one.attempt)


def _not_stored(error: Exception) -> CallReport:
    rejected = exception_info(Reject(f"{type(error).__name__}: {error}", requeue=True))
    return CallOutcome.NOT_STORED, (1, rejected, 0.0)


def _trace_one(target: Tracer, request: DispatchedRequest, result: TaskResult) -> CallReport:
    # The parent has decoded the body; without a content type, the tracer does not decode it again.
    arguments = (request.task, request.task_id, request.headers, request.payload, None, None)
    try:
        task: BatchTask = current_app.tasks[request.task]
        failed, value, runtime_s = task.trace_with(result, partial(target, *arguments))
    except Exception:  # noqa: BLE001 - what the tracer raises concerns one request only (Reject, MemoryError)
        return CallOutcome.RAISED, _picklable(ExceptionInfo())
    return CallOutcome.TRACED, (failed, _picklable(value) if failed else value, runtime_s)


def _picklable(error: ExceptionInfo) -> ExceptionInfo:
    """``error``, or billiard's replacement if the parent could not unpickle it, nor then the rest of the batch."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled right here
    except Exception as problem:  # noqa: BLE001 - an exception's class may raise anything
        return exception_info(MaybeEncodingError(problem, error.exception))
    return error


def _isolate(task: BatchTask, calls: Sequence[Call]) -> list[TaskResult | CallOutcome]:
    """Compute the calls; if that raises, split them until the call at fault is alone."""
    try:
        return [result for _, result in zip(calls, task.compute(calls), strict=True)]
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, one call causes it, and gets it as its result
        if len(calls) == 1:
            return [TaskResult(error=error)]
        ids = [str(call.headers.get("id")) for call in calls]
        problem = type(error).__name__
        logger.warning("splitting a batch of %d requests: %s", len(calls), problem, extra={"task_ids": ids})
    except (SystemExit, KeyboardInterrupt):
        if terminate_handler_fired() or len(calls) == 1:
            raise
    half = len(calls) // 2
    return [*_isolate_half(task, calls[:half]), *_isolate_half(task, calls[half:])]


def _isolate_half(task: BatchTask, calls: Sequence[Call]) -> list[TaskResult | CallOutcome]:
    try:
        return _isolate(task, calls)
    except (SystemExit, KeyboardInterrupt):
        if terminate_handler_fired() or len(calls) > 1:
            raise
        # It would end this process and with it the rest of the batch. Once it runs alone, it may.
        return [CallOutcome.REQUEUE_ALONE]


def _interrupted(requests: Sequence[DispatchedRequest], after_s: float) -> list[TaskResult | CallOutcome]:
    """Fail the request with the smallest limit. If several share it, each runs alone to find out which it was."""
    limits_s = [request.soft_limit_s or float("inf") for request in requests]
    smallest_s = min(limits_s)
    if smallest_s < float("inf") and after_s < smallest_s / 2:
        # Meant for the previous batch, whose end the parent had not seen yet.
        return [CallOutcome.REQUEUE] * len(requests)
    if len(requests) == 1:
        return [TaskResult(error=SoftTimeLimitExceeded(), seconds=after_s)]
    if limits_s.count(smallest_s) > 1:
        return [CallOutcome.REQUEUE_ALONE] * len(requests)
    return [
        TaskResult(error=SoftTimeLimitExceeded(), seconds=after_s) if limit_s == smallest_s else CallOutcome.REQUEUE
        for limit_s in limits_s
    ]


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Let this process store what it has computed before it ends because of one request.

    A soft limit that passes now would hit whichever request is being stored, and is dropped. This swaps handlers
    rather than block the signals, because a blocked signal would be delivered to another thread of the process.
    """
    terminated: list[int] = []
    soft_limit = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    terminate = signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGUSR1, soft_limit)
        if terminated:
            os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _storing_together(backend: Backend, attempts: Mapping[str, tuple[str, int]]) -> Iterator[Set[str]]:
    """Store all results at once if the backend can.

    Args:
        backend: the result backend.
        attempts: by task id, a request's delivery tag and the number of its attempt.

    Yields:
        The ids of requests that another worker has claimed since; complete at the end.
    """
    gather = getattr(backend, "gather", None)
    if gather is None:
        yield frozenset()
        return
    with gather(attempts) as superseded:
        yield superseded


def _is_late(expires: datetime | None) -> bool:
    return expires is not None and datetime.now(UTC if expires.tzinfo else None) > expires
