"""One request on its way through the pool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum, auto

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, WorkerLostError
from celery.exceptions import Ignore
from celery.states import SUCCESS
from celery.worker import state as worker_state

from worker.pool import work_context
from worker.pool.billiard_adapter import Job, JobOptions
from worker.pool.celery_adapter import (
    CeleryRequest,
    Tracer,
    TracerArguments,
    TracerReturn,
    is_cancelled,
)
from worker.pool.exception_info import exception_info, without_memory_error

__all__ = ["PendingRequest", "RequestState"]

logger = logging.getLogger(__name__)


class RequestState(Enum):
    """Where a request is."""

    #: In the queue.
    WAITING = auto()
    #: Handed over to a process.
    IN_BATCH = auto()
    #: Ended, revoked, or left to the broker.
    GONE = auto()


@dataclass(eq=False)
class PendingRequest:
    """What Celery passes to the pool for one request. Celery keeps it, as it keeps billiard's result.

    Attributes:
        target: Celery's tracer.
        args: the tracer's arguments.
        options: callbacks and time limits, as for billiard.
        celery_request: Celery's request; None if it is not Celery's consumer that uses the pool.
        key: requests with equal keys may share a batch; None for a task that is not a :class:`BatchTask`.
        cost: how much of a batch's cost limit it uses.
        size_bytes: length of the message's body.
        is_bulk: whether it yields to interactive requests.
        runs_alone: whether it must not share a batch.
        deaths: how many processes have died with it.
        attempt: the number of its attempt; None if it has to be claimed, since it was delivered or begun before.
        terminated_by: the signal with which it was revoked, if it was.
        state: where it is.
        job: billiard's job, for a task that is not a :class:`BatchTask`.
    """

    target: Tracer
    args: TracerArguments
    options: JobOptions
    celery_request: CeleryRequest | None = None
    key: Hashable = None
    cost: int = 1
    size_bytes: int = 0
    is_bulk: bool = False
    runs_alone: bool = False
    deaths: int = 0
    attempt: int | None = 1
    terminated_by: int | None = None
    state: RequestState = RequestState.WAITING
    job: Job | None = None

    @property
    def tag(self) -> str:
        """The delivery tag of its message, which stays the same when it is delivered again."""
        return "" if self.celery_request is None else str(self.celery_request.message.delivery_tag)

    @property
    def task(self) -> str:
        """Its task's name."""
        return self.args[0]

    @property
    def task_id(self) -> str:
        """Its id."""
        return self.args[1]

    @property
    def queue(self) -> str | None:
        """The queue that it came from; None if unknown."""
        if self.celery_request is None:
            return None
        queue: str | None = self.celery_request.delivery_info.get("routing_key")
        return queue

    @property
    def soft_limit_s(self) -> float | None:
        """Its soft time limit."""
        return self.options.get("soft_timeout")

    @property
    def hard_limit_s(self) -> float | None:
        """Its hard time limit."""
        return self.options.get("timeout")

    @property
    def has_own_limits(self) -> bool:
        """Whether its message sets a time limit."""
        return self.celery_request is not None and any(self.celery_request.time_limits)

    @property
    def is_acknowledged(self) -> bool:
        """Whether the broker has forgotten it, so that no other worker can run it."""
        return self.celery_request is not None and self.celery_request.acknowledged

    def terminate(self, signum: int) -> None:
        """Celery calls this when the request is revoked with ``terminate``, or cancelled."""
        self.terminated_by = signum
        if self.job is not None:
            self.job.terminate(signum)
        elif self.state is RequestState.WAITING and not self.drop_if_cancelled():
            self.fail(exception_info(Terminated(signum)))

    def drop_if_cancelled(self) -> bool:
        """Drop the request if nobody needs its result any more.

        That is so if it was given back to the broker, was revoked, or has expired. In the latter two cases Celery
        announces it here.

        Returns:
            Whether it is gone, now or from before.
        """
        if self.state is RequestState.GONE:
            return True
        if self.celery_request is None:
            return False
        if is_cancelled(self.celery_request) or self._announce_if_revoked(self.celery_request):
            self.state = RequestState.GONE
            return True
        return False

    def mark_waiting(self) -> None:
        """Move the request back from a batch into the queue.

        For Celery it is reserved again and no longer active. Otherwise a revocation would kill the process that had
        it, which may be computing other requests by now.
        """
        self.state = RequestState.WAITING
        if self.celery_request is not None:
            self.celery_request.time_start = self.celery_request.worker_pid = None
            worker_state.active_requests.discard(self.celery_request)
            worker_state.task_reserved(self.celery_request)

    def accept(self, pid: int, accepted_s: float) -> None:
        """Tell Celery that a process has begun with it, at a time on the monotonic clock."""
        self._notify(self.options.get("accept_callback"), pid, accepted_s)

    def succeed(self, returned: TracerReturn) -> None:
        """End the request with what its tracer has returned."""
        self.state = RequestState.GONE
        failed, value, runtime_s = returned
        self._notify(
            self.options.get("callback"), (failed, without_memory_error(value) if failed else value, runtime_s)
        )

    def end_stored(self, state: str) -> None:
        """End the request: its result was stored before, with this state."""
        # For the one error Celery looks for a stored success, and announces it. For the other it only acknowledges.
        error = WorkerLostError("its result was already stored") if state == SUCCESS else Ignore()
        self.fail(exception_info(error))

    def leave_to_others(self) -> None:
        """Forget the request, which another worker has claimed: neither acknowledge it nor announce its end."""
        self.state = RequestState.GONE
        if self.celery_request is not None:
            worker_state.task_ready(self.celery_request)

    def fail(self, error: ExceptionInfo) -> None:
        """End the request with an error that did not pass through its tracer."""
        self.state = RequestState.GONE
        # Celery's log line about it does not name the request.
        with work_context.on_request(self):
            self._notify(self.options.get("error_callback"), without_memory_error(error))

    def time_out(self, *, soft: bool, limit_s: float | None) -> None:
        """Tell Celery that its time limit has passed."""
        self._notify(self.options.get("timeout_callback"), soft=soft, timeout=limit_s)

    def _announce_if_revoked(self, celery_request: CeleryRequest) -> bool:
        try:
            return celery_request.revoked()
        except Exception:
            # Only a revoked or expired request is announced. It goes back, since nobody would be told of its end.
            logger.exception("could not announce the revocation of %s[%s]", self.task, self.task_id)
            celery_request.message.reject_log_error(logger, (Exception,), requeue=True)
            return True

    def _notify(self, callback: Callable[..., object] | None, *args: object, **kwargs: object) -> None:
        if callback is None:
            return
        try:
            callback(*args, **kwargs)
        except Exception:
            # An error in one request's callback must not affect the others of its batch.
            name = getattr(callback, "__name__", "callback")
            logger.exception("Celery's %s failed for %s[%s]", name, self.task, self.task_id)
