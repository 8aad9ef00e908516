"""How much work there is, in seconds of one process, and how much of it arrives."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ArrivalMeter", "Workload"]


@dataclass(frozen=True)
class Workload:
    """The work at one moment, in seconds that one process takes for it.

    Attributes:
        backlog_s: all work that waits: this worker's share of the queues, and what the worker holds.
        arriving: seconds of work that arrive per second, which is how many processes the arrivals alone keep busy.
    """

    backlog_s: float
    arriving: float


class ArrivalMeter:
    """Arrivals, derived from what was fetched and from how the queues grew or shrank meanwhile.

    What a worker fetches says nothing about arrivals while it works off a backlog: then it is what the worker can do.

    Args:
        memory_s: time constant with which older arrivals fade, in seconds.
    """

    def __init__(self, memory_s: float = 5.0) -> None:
        self._memory_s = memory_s
        self._before: tuple[float, float, float] | None = None
        self._arriving = 0.0

    def update(self, now_s: float, fetched_s: float, waiting_s: float) -> float:
        """Take in a sample; a sample that is taken in twice changes nothing.

        Args:
            now_s: when the sample was taken, on a monotonic clock.
            fetched_s: seconds of work fetched since the start.
            waiting_s: seconds of work in the queues now, this worker's share.

        Returns:
            Seconds of work that arrive per second.
        """
        before, self._before = self._before, (now_s, fetched_s, waiting_s)
        if before is not None and now_s > before[0]:
            passed_s = now_s - before[0]
            rate = max(0.0, (fetched_s - before[1] + waiting_s - before[2]) / passed_s)
            self._arriving += (rate - self._arriving) * -math.expm1(-passed_s / self._memory_s)
        return self._arriving
