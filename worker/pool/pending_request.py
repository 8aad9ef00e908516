"""One request on its way through the pool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NoReturn

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import Terminated
from celery.worker import state

from worker.pool import work_context

__all__ = ["Member", "OutOfMemory", "Place", "exception_info", "exception_of"]

logger = logging.getLogger(__name__)


class Place(Enum):
    """Where a member is."""

    WAITING = auto()
    IN_BATCH = auto()
    GONE = auto()


class OutOfMemory(Exception):
    """A ``MemoryError`` of a task, for Celery's callbacks.

    They take the original for one of the worker's own and raise it again: the request is then neither acknowledged
    nor announced as failed, and comes again (celery/celery#10462).
    """

    def __repr__(self) -> str:
        return f"MemoryError{self.args!r}"


@dataclass(eq=False)
class Member:
    """What Celery handed to the pool for one request, and what it holds on to, as it would on billiard's result.

    Attributes:
        target: Celery's tracer.
        args: its arguments: task name, id, headers, body, content type, content encoding.
        options: callbacks and time limits, as for billiard.
        request: Celery's request; None if somebody else uses the pool.
        key: members with equal keys can share a batch; None for a task without a batch form.
        cost: how much of a batch's budget it takes.
        size_bytes: length of the message's body.
        is_bulk: whether interactive members go first.
        alone: run it in a batch of its own.
        deaths: how many processes have died with it.
        terminated: the signal with which it was revoked, if it was.
        place: where it is.
        job: billiard's result, for a task without a batch form.
    """

    target: Callable[..., Any]
    args: Sequence[Any]
    options: Mapping[str, Any]
    request: Any = None
    key: Hashable = None
    cost: int = 1
    size_bytes: int = 0
    is_bulk: bool = False
    alone: bool = False
    deaths: int = 0
    terminated: int | None = None
    place: Place = field(default=Place.WAITING)
    job: Any = None

    @property
    def task(self) -> str:
        """Its task's name."""
        name: str = self.args[0]
        return name

    @property
    def task_id(self) -> str:
        """Its id."""
        task_id: str = self.args[1]
        return task_id

    @property
    def soft_limit_s(self) -> float | None:
        """Its soft time limit."""
        limit: float | None = self.options.get("soft_timeout")
        return limit

    @property
    def hard_limit_s(self) -> float | None:
        """Its hard time limit."""
        limit: float | None = self.options.get("timeout")
        return limit

    @property
    def is_acknowledged(self) -> bool:
        """Whether nobody but this worker can run it."""
        return self.request is not None and bool(self.request.acknowledged)

    def terminate(self, signum: int) -> None:
        """Celery calls this when the request is revoked with ``terminate``, or cancelled."""
        self.terminated = signum
        if self.job is not None:
            self.job.terminate(signum)
        elif self.place is Place.WAITING and not self.is_out():
            self.fail(exception_info(Terminated(signum)))

    def is_out(self) -> bool:
        """Whether it needs no answer any more: gone, given to another worker, revoked or too late (announced here)."""
        if self.place is Place.GONE:
            return True
        if self.request is None:
            return False
        if self.request._already_cancelled or self._is_revoked():  # noqa: SLF001 - Celery has no other way to ask
            self.place = Place.GONE
            return True
        return False

    def wait_again(self) -> None:
        """It goes back into the line.

        For Celery it is reserved again and no longer active: a revocation would end the process that had it, which may
        be computing others by now.
        """
        self.place = Place.WAITING
        if self.request is not None:
            self.request.time_start = self.request.worker_pid = None
            state.active_requests.discard(self.request)
            state.task_reserved(self.request)

    def accept(self, pid: int, time_accepted: float) -> None:
        """A process has begun with it."""
        self._call("accept_callback", pid, time_accepted)

    def succeed(self, result: Any) -> None:
        """Its tracer has returned ``(failed, value, runtime)``."""
        self.place = Place.GONE
        failed, value, runtime = result
        self._call("callback", (failed, _bearable(value) if failed else value, runtime))

    def fail(self, error: ExceptionInfo) -> None:
        """It did not get through its tracer."""
        self.place = Place.GONE
        # Celery's line about it does not say which request it is.
        with work_context.on_request(self):
            self._call("error_callback", _bearable(error))

    def time_out(self, *, soft: bool, limit_s: float | None) -> None:
        """Tell Celery that its time limit has passed."""
        self._call("timeout_callback", soft=soft, timeout=limit_s)

    def _is_revoked(self) -> bool:
        try:
            return bool(self.request.revoked())
        except Exception:
            # Only what is revoked, or late, is announced. Its message is not acknowledged, and will come again.
            logger.exception("could not announce that %s[%s] is revoked", *self.args[:2])
            return True

    def _call(self, name: str, *args: Any, **kwargs: Any) -> None:
        callback = self.options.get(name)
        if callback is None:
            return
        try:
            callback(*args, **kwargs)
        except Exception:
            # What one request's bookkeeping raises must not keep the others of its batch from theirs.
            logger.exception("the %s of %s[%s] failed", name, *self.args[:2])


def exception_info(error: BaseException) -> ExceptionInfo:
    """``error`` in the form that Celery's callbacks take."""
    try:
        _raise(error)
    except BaseException:  # noqa: BLE001 - raised right here
        info = ExceptionInfo()
        # Events would show billiard's wrapper, which is for what travels between processes.
        info.exception = error
        return info


def exception_of(error: ExceptionInfo) -> BaseException:
    """The exception itself; billiard wraps those that have travelled."""
    exception: BaseException = error.exception
    if isinstance(exception, ExceptionWithTraceback):
        exception = exception.exc
    return exception


def _bearable(error: ExceptionInfo) -> ExceptionInfo:
    exception = exception_of(error)
    if not isinstance(exception, MemoryError):
        return error
    replaced = exception_info(OutOfMemory(*exception.args))
    replaced.traceback = error.traceback
    return replaced


def _raise(error: BaseException) -> NoReturn:
    # What billiard is handling at the moment is no part of its story.
    raise error from error.__cause__
