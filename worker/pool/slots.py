"""How many jobs each process has: one that it computes, and one ahead, so that it never waits for its parent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

__all__ = ["JOBS_AHEAD", "Slots"]

#: How many jobs are written to a process in addition to the one that it computes.
JOBS_AHEAD = 1


class Slots:
    """Replaces ``AsynPool._busy_workers``, a set of file descriptors, and counts jobs.

    Args:
        processes: descriptors of the processes that are up; the pool updates this set.
        fits_ahead: whether the next job fits into a process's pipe behind the one that it computes. Otherwise it would
            stay half written until the process reads on, and the process may not do so until its parent has read its
            result.
    """

    def __init__(self, processes: Collection[int], fits_ahead: Callable[[int], bool]) -> None:
        self._processes = processes
        self._fits_ahead = fits_ahead
        self._jobs: Counter[int] = Counter()
        #: Processes that have become idle, in order.
        self._idled: dict[int, None] = {}
        #: Processes that get no more jobs.
        self._leaving: set[int] = set()

    @property
    def idle(self) -> int:
        """How many processes have no job, and may get one."""
        return sum(self.has_no_job(process) for process in self._processes if process not in self._leaving)

    @property
    def free(self) -> int:
        """How many more jobs can be written in total, if they are small enough."""
        staying = (process for process in self._processes if process not in self._leaving)
        return sum(max(0, 1 + JOBS_AHEAD - self._jobs[process]) for process in staying)

    def jobs(self, process: int) -> int:
        """How many jobs a process has not finished."""
        return self._jobs[process]

    def has_no_job(self, process: int) -> bool:
        """Whether a process has finished all its jobs."""
        return not self._jobs[process]

    def close(self, process: int) -> None:
        """Give a process no more jobs, until it is forgotten."""
        self._leaving.add(process)

    def add(self, process: int) -> None:
        """Count a job that is being written to a process."""
        self._jobs[process] += 1

    def discard(self, process: int) -> None:
        """Stop counting a job that a process has finished."""
        if self._jobs[process] > 1:
            self._jobs[process] -= 1
        else:
            del self._jobs[process]
            self._idled.pop(process, None)
            self._idled[process] = None

    def forget(self, process: int) -> None:
        """Forget a process that has ended; another may get its descriptor."""
        del self._jobs[process]
        self._idled.pop(process, None)
        self._leaving.discard(process)

    def intersection_update(self, _: Collection[int]) -> None:
        """Do nothing after a loss of the connection: a job that was written is computed, and counts until then."""

    def __contains__(self, process: object) -> bool:
        """Whether a process should not get the next job: it cannot take it, or others have less to do."""
        if not isinstance(process, int):
            return False
        if process in self._leaving:
            return True
        if not self._jobs[process]:
            return process != self._warmest(process)
        return self.idle > 0 or self._is_full(process)

    def __len__(self) -> int:
        """How many processes cannot take the next job."""
        return sum(self._is_full(process) for process in self._processes)

    def _warmest(self, otherwise: int) -> int:
        """The idle process that was busy last: it still has the model in the CPU's caches."""
        staying = (process for process in reversed(self._idled) if process not in self._leaving)
        idle = (process for process in staying if not self._jobs[process])
        return next((process for process in idle if process in self._processes), otherwise)

    def _is_full(self, process: int) -> bool:
        jobs = self._jobs[process]
        return process in self._leaving or jobs > JOBS_AHEAD or (jobs > 0 and not self._fits_ahead(process))
