"""What the pool asks its app, and what it reports to it.

An app provides its hooks as its attribute ``pool_hooks``. An app without that attribute is a plain Celery app, and
the defaults apply.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from kombu.message import Message

from worker.pool.claims import Attempt
from worker.pool.errors import ProcessDied
from worker.pool.limits import BatchLimits

__all__ = ["ComputedBatch", "HasPoolHooks", "PoolHooks", "ProcessExit", "hooks_of"]


@dataclass(frozen=True)
class ComputedBatch:
    """A batch that a process has computed.

    Attributes:
        key: what its requests have in common: the task's name and the task's ``batch_key``.
        requests: number of requests.
        size_bytes: total length of the message bodies.
        seconds: time from the moment the process accepted the batch until its results arrived.
        usage: what the task's ``take_usage`` returned in the process.
    """

    key: Hashable
    requests: int
    size_bytes: int
    seconds: float
    usage: Any


@dataclass(frozen=True)
class ProcessExit:
    """The end of a pool process.

    Attributes:
        pid: the process.
        status: its exit status or signal, in words.
        had_started: whether it had reported that it is up.
        was_ordered: whether the pool had told it to exit, or recycled it.
        is_pool_running: False while the pool shuts down.
    """

    pid: int
    status: str
    had_started: bool
    was_ordered: bool
    is_pool_running: bool


class PoolHooks:
    """The hooks of a plain Celery app, which do nothing. An app overrides those that it needs.

    All of them run in the worker's parent process, on its event loop.
    """

    #: Limits of a batch. The task defines what a request costs; by default each costs 1.
    batch_limits = BatchLimits(requests=64, cost=2048, bulk_s=1.0)

    #: How long processes may finish what they compute when the worker stops, in seconds; None for as long as it takes.
    drain_s: float | None = None

    def before_grow(self, count: int) -> None:
        """Check whether ``count`` more processes may start.

        Raises:
            ValueError: they may not; the message says why.
        """

    def before_fork(self, index: int, alive: Collection[int]) -> None:
        """Prepare for a new process.

        Args:
            index: the new process's index; a replacement has the index of the process that it replaces.
            alive: indices of the existing processes.
        """

    def on_started(self, pid: int, up: int, wanted: int) -> None:
        """React to a process that has reported that it is up.

        Args:
            pid: the process.
            up: how many processes are up now.
            wanted: how many the pool should have.
        """

    def on_exit(self, process: ProcessExit, alive: Collection[int], wanted: int) -> None:
        """React to the end of a process.

        Args:
            process: the process that has ended.
            alive: indices of the remaining processes.
            wanted: how many processes the pool should have.
        """

    def on_batch(self, batch: ComputedBatch) -> None:
        """React to a batch that was computed."""

    def on_not_stored(self, problem: str) -> None:
        """React to a batch whose results could not be stored; its requests go back to the broker.

        Args:
            problem: why not.
        """

    def expected_s(self, key: Hashable, cost: int) -> float:  # noqa: ARG002 - for subclasses
        """How long one process is expected to take for a cost before any of that kind was computed; 0 if unknown.

        Args:
            key: the task's name and the task's ``batch_key``.
            cost: what the task's ``batch_cost`` says, in all.
        """
        return 0.0

    def is_bulk(self, queue: str | None) -> bool:  # noqa: ARG002 - for subclasses
        """Whether requests from a queue yield to all others."""
        return False

    def process_died(self, problem: str) -> Exception:
        """The error with which a request fails after its processes died.

        Do not return Celery's ``WorkerLostError``: depending on the task's settings, Celery then redelivers the
        request, without limit.
        """
        return ProcessDied(problem)

    def on_given_up(self, message: Message, problem: str, attempts: Sequence[Attempt]) -> None:
        """Keep the message of a request that is given up, before its failure is stored and it is acknowledged.

        Args:
            message: kombu's message.
            problem: why it is given up.
            attempts: when and where it was begun, as far as that is known.
        """

    def on_superseded(self, message: Message) -> None:
        """Stop holding a message whose request another worker has claimed; neither acknowledge it nor give it back.

        Args:
            message: kombu's message.
        """

    def describe(self) -> Mapping[str, Any]:
        """Additional entries for the pool's part of ``inspect stats``."""
        return {}


@runtime_checkable
class HasPoolHooks(Protocol):
    """An app that provides hooks."""

    pool_hooks: PoolHooks


def hooks_of(app: object) -> PoolHooks:
    """An app's hooks, or the defaults if it has none."""
    return app.pool_hooks if isinstance(app, HasPoolHooks) else PoolHooks()
