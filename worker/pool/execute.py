"""What a pool process does with a batch: compute all answers, then trace each request with its own."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from celery.exceptions import Reject, SoftTimeLimitExceeded
from celery.states import STARTED

from worker.pool import work_context
from worker.pool.batch_task import Answer, BatchTask, Call
from worker.pool.pending_request import exception_info

__all__ = ["BatchCall", "BatchReport", "Outcome", "Result", "run_batch", "use_batch_clock"]

logger = logging.getLogger(__name__)


class Outcome(Enum):
    """What became of one member of a batch."""

    #: It went through Celery's tracer, and its result is stored.
    TRACED = auto()
    #: Celery's tracer let an exception through.
    RAISED = auto()
    #: Its deadline was over before the computation.
    EXPIRED = auto()
    #: Something went wrong of which it may be the cause.
    ALONE = auto()
    #: Something went wrong of which it is not the cause.
    AGAIN = auto()


#: What the parent gets for each member: with TRACED, what the tracer returned; with RAISED, the error.
Result = tuple[Outcome, Any]


class BatchReport(NamedTuple):
    """What the process sends back."""

    #: One per call, in order.
    results: list[Result]
    #: What the computation took, as :meth:`BatchTask.take_usage` tells.
    usage: Any


class BatchCall(NamedTuple):
    """One member, as it travels to the process."""

    task: str
    task_id: str
    headers: dict[str, Any]
    #: Arguments, keyword arguments, and Celery's own part of the body; decoded by the parent.
    payload: tuple[Sequence[Any], Mapping[str, Any], Mapping[str, Any] | None]
    soft_limit_s: float | None
    #: When it is too late to begin, as the parent's :class:`celery.worker.request.Request` has it.
    expires: datetime | None


def use_batch_clock(sender: str | None = None, **_: object) -> None:
    """Have every batch task's tracer measure with a clock that knows the request's share of its batch.

    Args:
        sender: the worker's node name, as ``worker_process_init`` has it.
    """
    app = current_app._get_current_object()  # noqa: SLF001 - the app itself, which the tracer wants
    for name, task in app.tasks.items():
        if isinstance(task, BatchTask):
            task.__trace__ = trace.build_tracer(name, task, app.loader, sender, app=app, monotonic=task.clock)


def run_batch(target: Callable[..., Any], calls: Sequence[BatchCall]) -> BatchReport:
    """Answer a batch.

    Args:
        target: Celery's tracer.
        calls: for one task.
    """
    started_s = time.monotonic()
    late = [_is_late(call.expires) for call in calls]
    members = [call for call, is_late in zip(calls, late, strict=True) if not is_late]
    batch = work_context.begin(members)
    try:
        answers = iter(_answers(members, started_s) if members else [])
        outcomes = [Outcome.EXPIRED if is_late else next(answers) for is_late in late]
        batch.note_end()
        traced = [(call, answer) for call, answer in zip(calls, outcomes, strict=True) if isinstance(answer, Answer)]
        returned = iter(_trace(target, traced))
        results = [next(returned) if isinstance(outcome, Answer) else (outcome, None) for outcome in outcomes]
        return BatchReport(results, current_app.tasks[calls[0].task].take_usage())
    finally:
        work_context.end()


def _answers(members: Sequence[BatchCall], started_s: float) -> list[Answer | Outcome]:
    task = current_app.tasks[members[0].task]
    try:
        _announce_started(task, members)
        answers = _isolate(task, [Call(call.headers, *call.payload[:2]) for call in members])
    except SoftTimeLimitExceeded:
        return _interrupted(members, time.monotonic() - started_s)
    share_s = (time.monotonic() - started_s) / len(members)
    return [replace(a, seconds=share_s) if isinstance(a, Answer) else a for a in answers]


def _announce_started(task: BatchTask, members: Sequence[BatchCall]) -> None:
    """Store that they have started, if that is wanted: the tracer would do so when all is computed."""
    if not task.track_started:
        return
    try:
        with _gathering(task.backend, [call.task_id for call in members]):
            for call in members:
                request = Context(call.headers)
                if not trace.get_actual_ignore_result(task, request):
                    started = {"pid": os.getpid(), "hostname": call.headers.get("hostname")}
                    task.backend.store_result(call.task_id, started, STARTED, request=request)
    except SoftTimeLimitExceeded:
        raise
    except Exception:
        logger.exception("could not store that %d requests have started", len(members))


def _trace(target: Callable[..., Any], answered: Sequence[tuple[BatchCall, Answer]]) -> list[Result]:
    """Run Celery's tracer for each request; what they store is stored together."""
    if not answered:
        return []
    backend = current_app.tasks[answered[0][0].task].backend
    try:
        with _undisturbed(), _gathering(backend, [call.task_id for call, _ in answered]):
            return [_trace_one(target, call, answer) for call, answer in answered]
    except Exception:
        # None of the results is there: whoever takes the requests next stores them.
        logger.exception("could not store the results of %d requests, which go back to the broker", len(answered))
        rejected = exception_info(Reject("its result could not be stored", requeue=True))
        return [(Outcome.TRACED, (1, rejected, 0.0))] * len(answered)


def _trace_one(target: Callable[..., Any], call: BatchCall, answer: Answer) -> Result:
    # The parent has decoded the body: no content type says so to the tracer.
    arguments = (call.task, call.task_id, call.headers, call.payload, None, None)
    try:
        task: BatchTask = current_app.tasks[call.task]
        failed, value, runtime = task.trace_with(answer, partial(target, *arguments))
    except Exception:  # noqa: BLE001 - what Celery lets through is one request's (Reject, MemoryError)
        return Outcome.RAISED, _sendable(ExceptionInfo())
    return Outcome.TRACED, (failed, _sendable(value) if failed else value, runtime)


def _sendable(error: ExceptionInfo) -> ExceptionInfo:
    """``error``, or what billiard would say of it: the parent has to unpickle it, and the others with it."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made right here
    except Exception as problem:  # noqa: BLE001 - whatever its class does
        return exception_info(MaybeEncodingError(problem, error.exception))
    return error


def _isolate(task: BatchTask, calls: Sequence[Call]) -> list[Answer | Outcome]:
    """Compute; what raises is split until the call at fault stands alone."""
    try:
        return [answer for _, answer in zip(calls, task.compute(calls), strict=True)]
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is one call's, and becomes its answer
        if len(calls) == 1:
            return [Answer(error=error)]
        ids = [str(call.headers.get("id")) for call in calls]
        problem = type(error).__name__
        logger.warning("%d requests are computed in halves: %s", len(calls), problem, extra={"task_ids": ids})
    except (SystemExit, KeyboardInterrupt):
        if terminate_handler_fired() or len(calls) == 1:
            raise
    half = len(calls) // 2
    return [*_isolate_half(task, calls[:half]), *_isolate_half(task, calls[half:])]


def _isolate_half(task: BatchTask, calls: Sequence[Call]) -> list[Answer | Outcome]:
    try:
        return _isolate(task, calls)
    except (SystemExit, KeyboardInterrupt):
        if terminate_handler_fired() or len(calls) > 1:
            raise
        # It would end this process, and with it the others of its batch: alone it may.
        return [Outcome.ALONE]


def _interrupted(members: Sequence[BatchCall], after_s: float) -> list[Answer | Outcome]:
    """One member had less time than all others: it was that one. Else each shows alone what it needs."""
    limits = [call.soft_limit_s or float("inf") for call in members]
    smallest_s = min(limits)
    if smallest_s < float("inf") and after_s < smallest_s / 2:
        # Meant for the batch before, whose end the parent had not seen yet.
        return [Outcome.AGAIN] * len(members)
    if len(members) == 1:
        return [Answer(error=SoftTimeLimitExceeded(), seconds=after_s)]
    if limits.count(smallest_s) > 1:
        return [Outcome.ALONE] * len(members)
    return [
        Answer(error=SoftTimeLimitExceeded(), seconds=after_s) if limit == smallest_s else Outcome.AGAIN
        for limit in limits
    ]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """All is computed: what is stored is stored before this process ends for another's sake.

    A soft limit that passes now would hit whichever request is being stored, and is dropped. Handlers are exchanged,
    since a blocked signal would be delivered to another thread of the process.
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


def _gathering(backend: Any, task_ids: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """Store all results in one go, with a backend that can."""
    gather = getattr(backend, "gather", None)
    if gather is None:
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[None] = gather(task_ids)
    return context


def _is_late(expires: datetime | None) -> bool:
    return expires is not None and datetime.now(UTC if expires.tzinfo else None) > expires
