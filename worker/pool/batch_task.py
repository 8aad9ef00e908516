"""A task that computes several requests at once."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from celery import Task
from celery.exceptions import Retry

__all__ = ["BatchTask", "Call", "TaskResult"]


@dataclass(frozen=True)
class Call:
    """One request of a batch, as the task sees it.

    Attributes:
        headers: the message's headers.
        args: positional arguments, unchanged.
        kwargs: keyword arguments, unchanged.
    """

    headers: Mapping[str, Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class TaskResult:
    """What the task computed for one call.

    Attributes:
        value: what the task returns for the call.
        error: what the task raises for the call instead. ``Ignore`` and ``Reject`` mean what they mean in Celery;
            ``Retry(exc=…, when=…)`` makes the task call its ``retry``.
        context: attributes to set on the task's request (``self.request``) before the task returns or raises.
        seconds: the call's share of the time that its batch took; the pool sets it.
    """

    value: Any = None
    error: BaseException | None = None
    context: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 0.0


T = TypeVar("T")


class BatchTask(Task):
    """A task whose requests are computed together.

    The results of a batch are computed first. Celery's own tracer then runs the task once per request, and the task's
    body only hands out the result. Stored results, retries, links, chords, signals and events are therefore those of
    an ordinary task.
    """

    abstract = True

    def __init__(self) -> None:
        #: The result of the request that is being traced; a process traces one request at a time.
        self._computed: TaskResult | None = None
        self._traced_s = 0.0

    @abstractmethod
    def compute(self, calls: Sequence[Call]) -> Sequence[TaskResult]:
        """Compute the results of some calls, in the order of the calls. Runs in a pool process.

        Report a problem with one call in its result. If this raises, the pool assumes that one of the calls caused it,
        and splits the batch until that call is alone.
        """

    def batch_key(self, call: Call) -> Hashable:  # noqa: ARG002 - for subclasses
        """Calls of this task with equal keys may share a batch. Runs in the worker's parent process."""
        return None

    def batch_cost(self, call: Call, body_bytes: int) -> int:  # noqa: ARG002 - for subclasses
        """How much of a batch's cost limit a call uses, at least 1. Runs in the parent process for every request."""
        return 1

    def sending_of(self, headers: Mapping[str, Any], tag: str) -> str | None:  # noqa: ARG002 - for subclasses
        """The name of a message, if others with its id may be the same request, which is then computed only once.

        Runs in a pool process for every request.

        Args:
            headers: of the message.
            tag: its delivery tag.
        """
        return None

    def take_usage(self) -> object:
        """Resources that were used since the last call, for ``PoolHooks.on_batch``. Runs in a pool process.

        Returns:
            Anything that can be pickled.
        """
        return None

    def run(self, *args: object, **kwargs: object) -> object:
        """Hand out the result that was computed; compute it here if there is no batch (Celery's own pool, ``apply``).

        Raises:
            BaseException: the result's ``error``.
        """
        result, self._computed = self._computed, None
        if result is None:
            (result,) = self.compute([Call(vars(self.request), args, kwargs)])
        for name, value in result.context.items():
            setattr(self.request, name, value)
        # Its share of the batch, for the result backend.
        self.request.compute_s = result.seconds
        self._traced_s += result.seconds
        if isinstance(result.error, Retry):
            self._retry(result.error)
        if result.error is not None:
            raise result.error
        return result.value

    def trace_with(self, result: TaskResult, trace: Callable[[], T]) -> T:
        """Trace a request whose result is already computed: :meth:`run` returns or raises it."""
        self._computed = result
        try:
            return trace()
        finally:
            self._computed = None

    def clock(self) -> float:
        """A monotonic clock for Celery's tracer, in seconds.

        While :meth:`run` hands out a result, the clock advances by the request's share of its batch, so that Celery
        reports that share as the runtime.
        """
        return time.monotonic() + self._traced_s

    def _retry(self, wanted: Retry) -> NoReturn:
        """Send the request again. This needs the request's own context, which :meth:`compute` does not have."""
        when: dict[str, object] = {}
        if wanted.when is not None:
            when["countdown" if isinstance(wanted.when, (int, float)) else "eta"] = wanted.when
        raise self.retry(exc=wanted.exc, **when)
