"""What the pool asks of its app, and what it tells it.

An app hands its hooks over as its attribute ``pool_hooks``. An app without one is a plain Celery app, which the
defaults suit.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from worker.pool.errors import ProcessDied
from worker.pool.limits import BatchLimits

__all__ = ["ComputedBatch", "HasPoolHooks", "PoolHooks", "ProcessExit", "hooks_of"]


@dataclass(frozen=True)
class ComputedBatch:
    """A batch that a process has computed.

    Attributes:
        key: what its requests have in common: the task's name and the task's ``batch_key``.
        requests: number of requests.
        size_bytes: length of all message bodies.
        seconds: from when the process began with it until its results arrived.
        usage: what the task's ``take_usage`` returned in the process.
    """

    key: Hashable
    requests: int
    size_bytes: int
    seconds: float
    usage: Any


@dataclass(frozen=True)
class ProcessExit:
    """The end of a pool process while the pool takes jobs, or while it shuts down.

    Attributes:
        pid: the process.
        status: its exit status or signal, in words.
        had_started: whether it had reported that it is up.
        was_ordered: whether the pool had told it to end, or recycled it.
        is_pool_running: False while the pool shuts down.
    """

    pid: int
    status: str
    had_started: bool
    was_ordered: bool
    is_pool_running: bool


class PoolHooks:
    """The hooks of a plain Celery app: nothing is leased, watched or counted. An app overrides what it needs.

    All of them run in the worker's parent, on its event loop.
    """

    #: Limits of a batch. Costs are what the tasks say; a task that says nothing has requests of cost 1.
    batch_limits = BatchLimits(requests=64, cost=2048, bulk_s=1.0)

    def before_grow(self, count: int) -> None:
        """Make sure that ``count`` more processes may start.

        Raises:
            ValueError: they may not; the message says why.
        """

    def before_fork(self, index: int, alive: Collection[int]) -> None:
        """Get ready for a new process.

        Args:
            index: of the new process; a replacement has the index of the process that it replaces.
            alive: indices of the processes that are there.
        """

    def on_started(self, pid: int, up: int, wanted: int) -> None:
        """React to a process that has reported that it is up.

        Args:
            pid: the process.
            up: how many processes are up now.
            wanted: how many the pool is to have.
        """

    def on_exit(self, process: ProcessExit, alive: Collection[int], wanted: int) -> None:
        """React to the end of a process.

        Args:
            process: the one that has ended.
            alive: indices of the others.
            wanted: how many processes the pool is to have.
        """

    def on_batch(self, batch: ComputedBatch) -> None:
        """Take in what a batch has taken."""

    def is_bulk(self, queue: str | None) -> bool:  # noqa: ARG002 - for subclasses
        """Whether requests from a queue may wait for all others."""
        return False

    def process_died(self, problem: str) -> Exception:
        """The error that a request ends with when its processes died.

        Anything but Celery's ``WorkerLostError``, for which Celery may deliver the request again, without end.
        """
        return ProcessDied(problem)

    def describe(self) -> Mapping[str, Any]:
        """What ``inspect stats`` shows of the pool in addition."""
        return {}


@runtime_checkable
class HasPoolHooks(Protocol):
    """An app that hands hooks over."""

    pool_hooks: PoolHooks


def hooks_of(app: object) -> PoolHooks:
    """The hooks of an app, the defaults where it has none."""
    return app.pool_hooks if isinstance(app, HasPoolHooks) else PoolHooks()
