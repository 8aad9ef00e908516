"""What a pool process does with a batch: compute all answers, then trace each request with its own."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, auto
from functools import partial
from typing import Any, NamedTuple

from billiard.common import terminate_handler_fired
from celery import current_app
from celery.app import trace
from celery.exceptions import Reject, SoftTimeLimitExceeded

from worker.pool.batch_task import Answer, BatchTask, Call, clock, run_with
from worker.pool.member import exception_info

__all__ = ["BatchCall", "Outcome", "Result", "run_batch", "use_batch_clock"]

logger = logging.getLogger(__name__)


class Outcome(Enum):
    """What became of one member of a batch."""

    #: It went through Celery's tracer, and its result is stored.
    TRACED = auto()
    #: Its deadline was over before the computation.
    EXPIRED = auto()
    #: Something went wrong of which it may be the cause.
    ALONE = auto()
    #: Something went wrong of which it is not the cause.
    AGAIN = auto()


#: What the parent gets for each member: with TRACED, what the tracer returned.
Result = tuple[Outcome, Any]


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


class _Interrupted(Exception):
    """The soft time limit of the batch passed while it was computed."""


def use_batch_clock(**_: object) -> None:
    """Have every batch task's tracer measure with a clock that knows the request's share of its batch."""
    app = current_app._get_current_object()  # noqa: SLF001 - the app itself, which the tracer wants
    for name, task in app.tasks.items():
        if isinstance(task, BatchTask):
            task.__trace__ = trace.build_tracer(name, task, app.loader, app=app, monotonic=clock)


def run_batch(target: Callable[..., Any], calls: Sequence[BatchCall]) -> list[Result]:
    """Answer a batch.

    Args:
        target: Celery's tracer.
        calls: for one task.

    Returns:
        One result per call, in order.
    """
    late = [_is_late(call.expires) for call in calls]
    answers = iter(_answers([call for call, is_late in zip(calls, late, strict=True) if not is_late]))
    outcomes = [Outcome.EXPIRED if is_late else next(answers) for is_late in late]
    traced = [(call, answer) for call, answer in zip(calls, outcomes, strict=True) if isinstance(answer, Answer)]
    returned = iter(_trace(target, traced))
    return [(Outcome.TRACED, next(returned)) if isinstance(o, Answer) else (o, None) for o in outcomes]


def _answers(members: Sequence[BatchCall]) -> list[Answer | Outcome]:
    if not members:
        return []
    try:
        return _compute_in_time(current_app.tasks[members[0].task], members)
    except _Interrupted:
        return _interrupted(members)


def _trace(target: Callable[..., Any], answered: Sequence[tuple[BatchCall, Answer]]) -> list[Any]:
    """Run Celery's tracer for each request; what they store is stored together."""
    if not answered:
        return []
    returned = []
    backend = current_app.tasks[answered[0][0].task].backend
    try:
        with _no_soft_limit(), _gathering(backend, [call.task_id for call, _ in answered]):
            for call, answer in answered:
                # The parent has decoded the body: no content type says so to the tracer.
                arguments = (call.task, call.task_id, call.headers, call.payload, None, None)
                returned.append(run_with(answer, partial(target, *arguments)))
    except Exception:
        # None of the results is there: whoever takes the requests next stores them.
        logger.exception("could not store the results of %d requests, which go back to the broker", len(answered))
        return [(1, exception_info(Reject("its result could not be stored", requeue=True)), 0.0)] * len(answered)
    return returned


def _compute_in_time(task: BatchTask, members: Sequence[BatchCall]) -> list[Answer | Outcome]:
    started_s = time.monotonic()
    calls = [Call(call.headers, *call.payload[:2]) for call in members]
    answers = _isolate(task, calls)
    share_s = (time.monotonic() - started_s) / len(members)
    return [replace(a, seconds=share_s) if isinstance(a, Answer) else a for a in answers]


def _isolate(task: BatchTask, calls: Sequence[Call]) -> list[Answer | Outcome]:
    """Compute; what raises is split until the call at fault stands alone."""
    try:
        return list(task.compute(calls))
    except SoftTimeLimitExceeded:
        raise _Interrupted from None
    except _Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is one call's, and becomes its answer
        if len(calls) == 1:
            return [Answer(error=error)]
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


def _interrupted(members: Sequence[BatchCall]) -> list[Answer | Outcome]:
    """One member had less time than all others: it was that one. Else each shows alone what it needs."""
    limits = [call.soft_limit_s or float("inf") for call in members]
    smallest = min(limits)
    if limits.count(smallest) > 1:
        return [Outcome.ALONE] * len(members)
    return [
        Answer(error=SoftTimeLimitExceeded(), seconds=smallest) if limit == smallest else Outcome.AGAIN
        for limit in limits
    ]


@contextlib.contextmanager
def _no_soft_limit() -> Iterator[None]:
    """All is computed: a soft limit that passes now would hit whichever request is being stored."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _gathering(backend: Any, task_ids: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """Store all results in one go, with a backend that can."""
    gather = getattr(backend, "gather", None)
    if gather is None:
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[None] = gather(task_ids)
    return context


def _is_late(expires: datetime | None) -> bool:
    return expires is not None and datetime.now(UTC if expires.tzinfo else None) > expires
