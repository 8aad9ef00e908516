"""A task that answers several requests at once."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from celery import Task
from celery.exceptions import Retry

__all__ = ["Answer", "BatchTask", "Call"]


@dataclass(frozen=True)
class Call:
    """One request of a batch, as the task sees it.

    Attributes:
        headers: the message's headers.
        args: positional arguments, as they came.
        kwargs: keyword arguments, as they came.
    """

    headers: Mapping[str, Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What became of one call.

    Attributes:
        value: what the task returns for it.
        error: what the task raises for it instead; ``Ignore`` and ``Reject`` mean what they mean in Celery, and
            ``Retry(exc=…, when=…)`` has the task call its ``retry``.
        context: attributes to set on the task's request (``self.request``) before it returns or raises.
        seconds: its share of the time that its batch took.
    """

    value: Any = None
    error: BaseException | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


T = TypeVar("T")


class BatchTask(Task):
    """A task whose requests are answered together.

    The answers of a batch are computed first; Celery's own tracer then runs the task once per request, and the body
    only gives the answer out. Results, retries, links, chords, signals and events are therefore a plain task's.
    """

    abstract = True

    def __init__(self) -> None:
        #: The answer of the request that is being traced; a process traces one request at a time.
        self._known_answer: Answer | None = None
        self._traced_s = 0.0

    @abstractmethod
    def compute(self, calls: Sequence[Call]) -> Sequence[Answer]:
        """Answer some calls, in order; runs in a pool process.

        What is wrong with one call belongs into its answer. An exception is taken for the fault of one of them: the
        batch is split until that one stands alone.
        """

    def batch_key(self, call: Call) -> Hashable:  # noqa: ARG002 - for subclasses
        """Calls with equal keys share batches, beside being for the same task; runs in the worker's parent."""
        return None

    def batch_cost(self, call: Call, body_bytes: int) -> int:  # noqa: ARG002 - for subclasses
        """How much of a batch's budget a call takes, at least 1; runs in the worker's parent, for every request."""
        return 1

    def take_usage(self) -> Any:
        """What the computations since the last call took, for ``TaskPool.on_batch`` in the parent; in a pool process.

        Anything that can be pickled.
        """
        return None

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Give out the answer that the batch has; without a batch (Celery's own pool, ``apply``) compute it alone."""
        answer, self._known_answer = self._known_answer, None
        if answer is None:
            (answer,) = self.compute([Call(vars(self.request), args, kwargs)])
        for name, value in answer.context.items():
            setattr(self.request, name, value)
        self._traced_s += answer.seconds
        if isinstance(answer.error, Retry):
            self._retry(answer.error)
        if answer.error is not None:
            raise answer.error
        return answer.value

    def trace_with(self, answer: Answer, trace: Callable[[], T]) -> T:
        """Trace a request whose answer is known: :meth:`run` returns or raises it."""
        self._known_answer = answer
        try:
            return trace()
        finally:
            self._known_answer = None

    def clock(self) -> float:
        """A monotonic clock, in seconds, for Celery's tracer.

        While a request's answer is given out, the request's share of its batch passes on it, so that the runtime
        which Celery reports is that share.
        """
        return time.monotonic() + self._traced_s

    def _retry(self, wanted: Retry) -> NoReturn:
        """Send the request once more, which only its own task can: :meth:`compute` has many."""
        when: dict[str, Any] = {}
        if wanted.when is not None:
            when["countdown" if isinstance(wanted.when, (int, float)) else "eta"] = wanted.when
        raise self.retry(exc=wanted.exc, **when)
