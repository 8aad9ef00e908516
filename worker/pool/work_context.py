"""What this thread is working on, for log lines and traces: one request, or the batch that is computed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["BatchContext", "TaskRequest", "batch", "begin", "end", "on_batch", "on_request", "request"]


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
    """

    requests: Sequence[TaskRequest]
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None

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
    """End the batch."""
    _batch.set(None)


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
