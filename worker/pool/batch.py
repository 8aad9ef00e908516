"""A batch in the worker's parent: one job, and what its end means for each of its requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.states import SUCCESS

from worker.pool import work_context
from worker.pool.celery_adapter import is_member_of_chord, payload_of
from worker.pool.claims import MAX_ATTEMPTS, Attempt
from worker.pool.exception_info import exception_info, exception_of
from worker.pool.execute import BatchReport, CallOutcome
from worker.pool.hooks import PoolHooks
from worker.pool.pending_request import PendingRequest

__all__ = ["Batch"]

logger = logging.getLogger(__name__)


class Batch:
    """Passes the callbacks of one job on to the requests of its batch.

    Args:
        requests: of equal key; at least one.
        requeue: takes a request that has to run again.
        observe: takes the requests, the seconds and the usage of a batch that was computed.
        hooks: name the error with which a request fails after its processes died.
    """

    def __init__(
        self,
        requests: Sequence[PendingRequest],
        requeue: Callable[[PendingRequest], None],
        observe: Callable[[Sequence[PendingRequest], float, object], None],
        hooks: PoolHooks,
    ) -> None:
        self.requests = requests
        self._requeue = requeue
        self._observe = observe
        self._hooks = hooks
        self._accepted_s: float | None = None
        #: The requests whose time limit the job has exceeded; billiard reports the failure before its reason.
        self._timed_out: list[PendingRequest] = []

    @property
    def cost(self) -> int:
        """The cost of the requests together."""
        return sum(request.cost for request in self.requests)

    @property
    def soft_limit_s(self) -> float | None:
        """The smallest soft time limit of the requests."""
        return _smallest(request.soft_limit_s for request in self.requests)

    @property
    def hard_limit_s(self) -> float | None:
        """The smallest hard time limit of the requests."""
        return _smallest(request.hard_limit_s for request in self.requests)

    def on_accepted(self, pid: int, accepted_s: float) -> None:
        """A process has begun with the batch."""
        self._accepted_s = time.monotonic()
        for request in self.requests:
            request.accept(pid, accepted_s)

    def on_results(self, report: BatchReport) -> None:
        """The process has finished the batch."""
        if self._accepted_s is not None:
            self._observe(self.requests, time.monotonic() - self._accepted_s, report.usage)
        problem = _why_not_stored(report)
        if problem is not None:
            # Before the requests go back, so that they are not fetched at once.
            self._hooks.on_not_stored(problem)
        for request, attempt in zip(self.requests, report.attempts, strict=False):
            request.attempt = attempt
        again = [
            request
            for request, (outcome, value) in zip(self.requests, report.calls, strict=True)
            if not self._end(request, outcome, value)
        ]
        self._run_again(again)

    def _end(self, request: PendingRequest, outcome: CallOutcome, value: Any) -> bool:
        """End a request by its outcome. Returns False if it has to run again."""
        match outcome:
            case CallOutcome.TRACED | CallOutcome.NOT_STORED:
                request.succeed(value)
            case CallOutcome.RAISED:
                request.fail(value)
            case CallOutcome.STORED:
                request.end_stored(value)
            case CallOutcome.SUPERSEDED:
                if request.celery_request is not None:
                    self._hooks.on_superseded(request.celery_request.message)
                request.leave_to_others()
            case CallOutcome.GIVEN_UP:
                problem = f"its workers or processes died in {len(value)} attempts and more to compute this request"
                self._give_up(request, problem, value)
            case _:
                # EXPIRED: the queue finds that it is too late, by the same clock, and announces it.
                request.runs_alone |= outcome is CallOutcome.REQUEUE_ALONE
                return False
        return True

    def on_error(self, error: ExceptionInfo) -> None:
        """The job has failed as a whole, usually because its process died."""
        with work_context.on_batch(self.requests):
            self._on_error(error)

    def _on_error(self, error: ExceptionInfo) -> None:
        exception = exception_of(error)
        if isinstance(exception, Terminated):
            self._terminated(error)
        elif isinstance(exception, TimeLimitExceeded):
            self._limit_exceeded(error)
        elif isinstance(exception, (WorkerLostError, SystemExit, KeyboardInterrupt)):
            self._process_died(exception)
        elif len(self.requests) > 1:
            logger.error("a batch of %d requests failed, each now runs alone: %r", len(self.requests), exception)
            self._run_alone(self.requests)
        else:
            self.requests[0].fail(error)

    def abandon(self) -> None:
        """The process has ended because its worker shuts down: what is stored counts, the rest runs elsewhere."""
        self._run_again(_end_stored(self.requests))

    def on_timeout(self, *, soft: bool, timeout: float | None) -> None:
        """A time limit has passed. For the hard limit, :meth:`on_error` was called before."""
        targets = _with_smallest_limit(self.requests, soft=True) if soft else self._timed_out
        if len(targets) == 1:
            with work_context.on_batch(self.requests):
                targets[0].time_out(soft=soft, limit_s=timeout)

    def _terminated(self, error: ExceptionInfo) -> None:
        """The process was killed to end one of the requests; the others are not at fault."""
        for request in self.requests:
            if request.terminated_by is not None:
                request.fail(error)
        self._run_again(_end_stored([request for request in self.requests if request.terminated_by is None]))

    def _limit_exceeded(self, error: ExceptionInfo) -> None:
        """Fail the request with the smallest limit. If several share it, each runs alone to find out which it was."""
        targets = _with_smallest_limit(self.requests, soft=False)
        if len(targets) > 1:
            self._run_alone(self.requests)
            return
        self._timed_out = targets
        targets[0].fail(error)
        self._run_again([request for request in self.requests if request is not targets[0]])

    def _process_died(self, exception: BaseException) -> None:
        again = []
        for request in _end_stored(self.requests):
            request.deaths += 1
            request.attempt = None
            if request.deaths < MAX_ATTEMPTS:
                again.append(request)
            else:
                problem = f"{request.deaths} processes died while they computed this request; the last: {exception}"
                self._give_up(request, problem)
        if again:
            about = {"task_ids": [request.task_id for request in again]}
            logger.warning(
                "the process of %d requests died, each now runs alone: %s", len(again), exception, extra=about
            )
        self._run_alone(again)

    def _give_up(self, request: PendingRequest, problem: str, attempts: Sequence[Attempt] = ()) -> None:
        logger.error("gave up %s[%s]: %s", request.task, request.task_id, problem)
        error = self._hooks.process_died(problem)
        if request.celery_request is not None:
            self._hooks.on_given_up(request.celery_request.message, problem, attempts)
        request.fail(exception_info(error))

    def _run_alone(self, requests: Sequence[PendingRequest]) -> None:
        for request in requests:
            request.runs_alone = True
        self._run_again(requests)

    def _run_again(self, requests: Sequence[PendingRequest]) -> None:
        # Each goes to the front of the queue.
        for request in reversed(requests):
            self._requeue(request)


def _why_not_stored(report: BatchReport) -> str | None:
    for outcome, value in report.calls:
        if outcome is CallOutcome.NOT_STORED:
            return str(exception_of(value[1]).args[0])
    return None


def _end_stored(requests: Sequence[PendingRequest]) -> Sequence[PendingRequest]:
    """End the requests whose process died after it had stored their results.

    Celery counts a member of a chord after it has stored its result. If the process died in between, the chord would
    never be complete. So members run again; Celery counts each only once.

    Returns:
        The other requests.
    """
    others = []
    for request, is_stored in zip(requests, _are_stored(requests), strict=True):
        if is_stored and not _is_counted_later(request):
            request.end_stored(SUCCESS)
        else:
            others.append(request)
    return others


def _is_counted_later(request: PendingRequest) -> bool:
    return request.celery_request is not None and is_member_of_chord(payload_of(request.celery_request))


def _are_stored(requests: Sequence[PendingRequest]) -> Sequence[bool]:
    if not requests or requests[0].celery_request is None:
        return [False] * len(requests)
    try:
        backend = requests[0].celery_request.task.backend
        found = backend.mget([backend.get_key_for_task(request.task_id) for request in requests])
        return [bool(meta) and backend.decode(meta)["status"] == SUCCESS for meta in found]
    except Exception:
        # There is no backend, it has no mget, or it does not answer: the requests run again.
        logger.debug("could not look up stored results", exc_info=True)
        return [False] * len(requests)


def _smallest(limits_s: Iterable[float | None]) -> float | None:
    return min((limit_s for limit_s in limits_s if limit_s), default=None)


def _with_smallest_limit(requests: Sequence[PendingRequest], *, soft: bool) -> list[PendingRequest]:
    limits_s = [(request.soft_limit_s if soft else request.hard_limit_s) or float("inf") for request in requests]
    return [request for request, limit_s in zip(requests, limits_s, strict=True) if limit_s == min(limits_s)]
