"""Kills processes that do not report in time that they are up."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable

from worker.pool.billiard_adapter import PoolProcess
from worker.pool.celery_adapter import Hub

__all__ = ["StartWatch"]

logger = logging.getLogger(__name__)


class StartWatch:
    """Limits the start time of a pool's first processes. Celery itself limits it only for those that start later.

    Args:
        starting: returns the processes that have not reported yet.
        limit_s: how long a start may take.
    """

    def __init__(self, starting: Callable[[], Iterable[PoolProcess]], limit_s: float) -> None:
        self._starting = starting
        self._limit_s = limit_s

    def begin(self, hub: Hub) -> None:
        """Watch the processes that are starting now."""
        for process in self._starting():
            hub.call_later(self._limit_s, self._kill_if_starting, process.pid)

    def _kill_if_starting(self, pid: int) -> None:
        if any(process.pid == pid for process in self._starting()):
            logger.error("killing process %d, which did not report that it is up within %g s", pid, self._limit_s)
            os.kill(pid, signal.SIGKILL)
