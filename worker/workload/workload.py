"""A worker's backlog and arrival rate, both measured in seconds of work for one process."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ArrivalMeter", "Workload"]


@dataclass(frozen=True)
class Workload:
    """The workload at one moment.

    Attributes:
        backlog_s: seconds of work that are waiting: this worker's share of the queues, and the requests that it holds.
        arriving: seconds of work that arrive per second: the number of processes that arrivals alone keep busy.
    """

    backlog_s: float
    arriving: float


class ArrivalMeter:
    """Measures arrivals by what was fetched and by how much the queues grew or shrank in the meantime.

    Fetches alone do not measure arrivals: while a worker works off a backlog, it fetches as much as it can process.

    Args:
        memory_s: time constant of the exponential average, in seconds.
    """

    def __init__(self, memory_s: float = 5.0) -> None:
        self._memory_s = memory_s
        self._before: tuple[float, float, float] | None = None
        self._arriving = 0.0

    def update(self, now_s: float, fetched_s: float, waiting_s: float) -> float:
        """Add a sample. Adding the same sample again has no effect.

        Args:
            now_s: when the sample was taken, on a monotonic clock.
            fetched_s: seconds of work that this worker has fetched since its start.
            waiting_s: seconds of work in this worker's share of the queues.

        Returns:
            Seconds of work that arrive per second.
        """
        before, self._before = self._before, (now_s, fetched_s, waiting_s)
        if before is not None and now_s > before[0]:
            passed_s = now_s - before[0]
            rate = max(0.0, (fetched_s - before[1] + waiting_s - before[2]) / passed_s)
            self._arriving += (rate - self._arriving) * -math.expm1(-passed_s / self._memory_s)
        return self._arriving
