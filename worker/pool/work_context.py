"""What this thread is working on, for log lines and traces: one request, or the batch that is computed."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["BatchContext", "TaskRequest", "batch", "begin", "end", "on_batch", "on_request", "request"]

logger = logging.getLogger(__name__)


class TaskRequest(Protocol):
    """A request, identified by its task's name and its id."""

    @property
    def task(self) -> str:
        """The name of its task."""

    @property
    def task_id(self) -> str:
        """Its id."""


@dataclass
class BatchContext:
    """The batch that log lines and traces are about.

    Attributes:
        requests: its requests.
        started_at: when the process began to compute it, in seconds since the epoch.
        ended_at: when its results were computed, in seconds since the epoch; None before.
        at_end: called once its requests are traced.
    """

    requests: Sequence[TaskRequest]
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    at_end: list[Callable[[], object]] = field(default_factory=list)

    @property
    def task(self) -> str:
        """The task of all its requests."""
        return self.requests[0].task

    @property
    def task_ids(self) -> list[str]:
        """The ids of its requests."""
        return [request.task_id for request in self.requests]

    def mark_computed(self) -> None:
        """Record that the results are computed."""
        self.ended_at = time.time()


# One value per thread: what another thread of the worker logs belongs to no request.
_batch: ContextVar[BatchContext | None] = ContextVar("celeriac_batch", default=None)
_request: ContextVar[TaskRequest | None] = ContextVar("celeriac_request", default=None)

#: Returns the batch that this thread works on, or None.
batch = _batch.get
#: Returns the one request that this thread works on if it is not Celery's current task, or None.
request = _request.get


def begin(requests: Sequence[TaskRequest]) -> BatchContext:
    """Begin a batch; a process computes one at a time."""
    begun = BatchContext(requests)
    _batch.set(begun)
    return begun


def end() -> None:
    """End the batch, and call what is to be called then."""
    ended = _batch.get()
    _batch.set(None)
    for call in ended.at_end if ended else ():
        try:
            call()
        except Exception:
            # Its results are stored: whoever observes batches must not undo that.
            logger.exception("an observer of batches failed")


@contextlib.contextmanager
def on_batch(requests: Sequence[TaskRequest]) -> Iterator[None]:
    """Attribute what happens inside to these requests."""
    token = _batch.set(BatchContext(requests))
    try:
        yield
    finally:
        _batch.reset(token)


@contextlib.contextmanager
def on_request(about: TaskRequest) -> Iterator[None]:
    """Attribute what happens inside to one request."""
    token = _request.set(about)
    try:
        yield
    finally:
        _request.reset(token)
