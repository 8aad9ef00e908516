"""What is being worked on at the moment, for log lines and traces: one request, or the batch that is computed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["BatchAtWork", "HasTask", "batch", "begin", "end", "on_batch", "on_request", "request"]


class HasTask(Protocol):
    """A request, by its task's name and its id."""

    @property
    def task(self) -> str:
        """The name of its task."""

    @property
    def task_id(self) -> str:
        """Its id."""


@dataclass
class BatchAtWork:
    """A batch, from the moment when its process takes it.

    Attributes:
        calls: its requests.
        started_at: when the computation began, in seconds since the epoch.
        ended_at: when the answers were there; None before.
    """

    calls: Sequence[HasTask]
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None

    @property
    def task(self) -> str:
        """The task of all its requests."""
        return self.calls[0].task

    @property
    def task_ids(self) -> list[str]:
        """The ids of its requests."""
        return [call.task_id for call in self.calls]

    def note_end(self) -> None:
        """The answers are there."""
        self.ended_at = time.time()


# Each thread has its own: what another thread of the worker logs belongs to no request.
_batch: ContextVar[BatchAtWork | None] = ContextVar("celeriac_batch", default=None)
_request: ContextVar[HasTask | None] = ContextVar("celeriac_request", default=None)

#: The batch that this thread works on, None if there is none.
batch = _batch.get
#: The one request that this thread works on, where Celery does not know it as its current task.
request = _request.get


def begin(calls: Sequence[HasTask]) -> BatchAtWork:
    """Begin a batch; one is at work at a time."""
    begun = BatchAtWork(calls)
    _batch.set(begun)
    return begun


def end() -> None:
    """The batch is through."""
    _batch.set(None)


@contextlib.contextmanager
def on_batch(calls: Sequence[HasTask]) -> Iterator[None]:
    """Say that what happens inside is about these requests."""
    token = _batch.set(BatchAtWork(calls))
    try:
        yield
    finally:
        _batch.reset(token)


@contextlib.contextmanager
def on_request(about: HasTask) -> Iterator[None]:
    """Say that what happens inside is about one request."""
    token = _request.set(about)
    try:
        yield
    finally:
        _request.reset(token)
