"""Reports starts and ends of processes to the app's hooks."""

from __future__ import annotations

from collections.abc import Iterable

from billiard.common import human_status

from worker.pool.billiard_adapter import PoolProcess, exit_was_ordered
from worker.pool.hooks import PoolHooks, ProcessExit

__all__ = ["Lifecycle"]


class Lifecycle:
    """Knows which processes have reported that they are up, and calls the hooks.

    Args:
        hooks: the app's.
    """

    def __init__(self, hooks: PoolHooks) -> None:
        self._hooks = hooks
        self._up: set[int] = set()

    def on_fork(self, index: int, alive: Iterable[PoolProcess]) -> None:
        """A process is about to be forked, beside those that are alive."""
        self._hooks.before_fork(index, _indices(alive))

    def on_up(self, pid: int, wanted: int) -> None:
        """A process has reported that it is up."""
        self._up.add(pid)
        self._hooks.on_started(pid, len(self._up), wanted)

    def on_down(
        self, process: PoolProcess, alive: Iterable[PoolProcess], wanted: int, *, is_pool_running: bool
    ) -> None:
        """A process has ended; others are alive."""
        had_started = process.pid in self._up
        self._up.discard(process.pid)
        status = human_status(process.exitcode)
        ended = ProcessExit(process.pid, status, had_started, exit_was_ordered(process), is_pool_running)
        self._hooks.on_exit(ended, _indices(alive), wanted)


def _indices(processes: Iterable[PoolProcess]) -> set[int]:
    return {process.index for process in processes}
