"""Replaces a process that has grown too large, between two of its batches, before the kernel kills it in one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

from worker.endpoints.procfs import resources_of
from worker.pool import TaskPool
from worker.runtime import runtime_of

__all__ = ["GrowingProcesses", "MemoryRecycler", "MemoryWatch"]

logger = logging.getLogger(__name__)

_MIB = 1024 * 1024
_LOOK_S = 5.0
#: A process may always grow by half of what it has when it is first seen: a limit below that would replace it forever.
_LEAST_GROWTH = 1.5


class GrowingProcesses(Protocol):
    """The pool's processes, as far as they are watched."""

    @property
    def pids_up(self) -> Sequence[int]:
        """The processes that serve."""

    @property
    def is_changing(self) -> bool:
        """Whether a process is starting, missing or being replaced."""

    def replace(self, pid: int) -> None:
        """Let a process finish its jobs, and start another in its place."""


class MemoryWatch:
    """Replaces processes whose own memory is above a limit, one at a time.

    Args:
        limit_bytes: of a process, without what it shares with others.
        own_bytes: returns the memory of a process that it does not share; None if it has ended.
    """

    def __init__(self, limit_bytes: int, own_bytes: Callable[[int], int | None]) -> None:
        self._limit_bytes = limit_bytes
        self._own_bytes = own_bytes
        #: What each process had when it was first seen.
        self._first_bytes: dict[int, int] = {}

    def look(self, processes: GrowingProcesses) -> None:
        """Measure the processes, and replace the largest that is above the limit, unless one is being replaced."""
        measured = {pid: size for pid in processes.pids_up if (size := self._own_bytes(pid)) is not None}
        self._first_bytes = {pid: self._first_bytes.get(pid, size) for pid, size in measured.items()}
        if processes.is_changing or not measured:
            return
        largest = max(measured, key=lambda pid: measured[pid] - self._allowed_bytes(pid))
        size, allowed = measured[largest], self._allowed_bytes(largest)
        if size > allowed:
            logger.warning(
                "replacing process %d after its batch: it has grown to %d MiB of its own; the limit is %d MiB",
                *(largest, size // _MIB, allowed // _MIB),
            )
            processes.replace(largest)

    def _allowed_bytes(self, pid: int) -> int:
        return max(self._limit_bytes, int(_LEAST_GROWTH * self._first_bytes[pid]))


class MemoryRecycler(bootsteps.StartStopStep):
    """Consumer step: looks at the processes' memory every few seconds, which reads two small files of each."""

    requires = (Tasks,)

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        limit_bytes = runtime_of(consumer.app).process_limit_bytes
        self._watch = None if limit_bytes is None else MemoryWatch(limit_bytes, _own_bytes)
        self._timer: Any = None
        super().__init__(consumer, **options)

    def start(self, consumer: Consumer) -> None:
        """Begin to look; called again after each loss of the connection."""
        if self._watch is not None and isinstance(consumer.pool, TaskPool):
            self._timer = consumer.timer.call_repeatedly(_LOOK_S, self._look, (consumer, self._watch))

    def stop(self, _consumer: Consumer) -> None:
        """Stop looking: the connection is lost, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @staticmethod
    def _look(consumer: Consumer, watch: MemoryWatch) -> None:
        # An exchange of models replaces all processes anyway.
        if not runtime_of(consumer.app).exchange.is_active:
            watch.look(consumer.pool.processes)


def _own_bytes(pid: int) -> int | None:
    resources = resources_of(pid)
    return None if resources is None else resources.anonymous_bytes
