"""Ends processes that hang where no time limit applies: before they begin a job, and after they were told to end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from worker.pool.celery_adapter import Hub, Timer

__all__ = ["HangWatch", "Overdue"]

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
#: An idle process begins a job within milliseconds, and a process that ends sends its last reports within 2 s.
_PATIENCE_LOOKS = 15


class Overdue(NamedTuple):
    """What a process has not done yet.

    Attributes:
        pid: the process.
        duty: what it should do, as the end of a sentence. Another one begins a new wait.
    """

    pid: int
    duty: str


class HangWatch:
    """Kills a process that does not do what it should do at once. Its jobs then go to another one.

    Time limits cannot apply there, since they run from the moment at which a process reports that it has begun a job. A
    process that is stopped, or is stuck in native code, does not report.

    Looks are counted, not seconds: a worker that was stopped with all its processes gives them time when it goes on.

    Args:
        overdue: what processes have not done yet.
        patience_looks: how many looks, one per second, may find the same.
    """

    def __init__(self, overdue: Callable[[], Iterable[Overdue]], patience_looks: int = _PATIENCE_LOOKS) -> None:
        self._overdue = overdue
        self._patience_looks = patience_looks
        self._looks: Counter[Overdue] = Counter()
        self._timer: Timer | None = None

    def begin(self, hub: Hub) -> None:
        """Watch on an event loop; called again after each loss of the connection."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = hub.call_repeatedly(_LOOK_S, self.look)

    def look(self) -> None:
        """Look once, and kill the processes that have been found too often."""
        found = set(self._overdue())
        self._looks = Counter({one: self._looks[one] + 1 for one in found})
        for one, looks in self._looks.items():
            if looks == self._patience_looks:
                logger.error("killing process %d, which hangs: for %d s it has not %s", one.pid, looks, one.duty)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
