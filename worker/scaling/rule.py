"""How many processes the work needs: the decision alone, without clocks, Redis or processes of its own.

The worker (``worker/scaling/autoscaler.py``) and the simulator (``benchmarks/scaling.py``) run this same code.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["Load", "LoadMeter", "ScalingRule", "ScalingTargets"]

#: Sums of fractions are a little off.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ScalingTargets:
    """What is aimed at.

    Attributes:
        drain_s: a backlog shall be worked off in this time, in seconds.
        utilization: share of their time that processes shall compute, from 0 to 1; the rest absorbs fluctuations.
        cooldown_s: processes go when none of them was needed for so long, in seconds.
    """

    drain_s: float = 2.0
    utilization: float = 0.8
    cooldown_s: float = 30.0


@dataclass(frozen=True)
class Load:
    """What is seen at one moment, as seconds of one process.

    Attributes:
        backlog_s: what waits, in the queues (this worker's share of them) and in the worker.
        arriving: seconds of work that come in a second: how many processes the arrivals alone keep busy.
    """

    backlog_s: float
    arriving: float


class LoadMeter:
    """Arrivals, told from what was fetched and what the queues have gained or lost meanwhile.

    What a worker fetches says nothing of what arrives while a backlog is worked off: that is what it can do.

    Args:
        memory_s: older arrivals weigh less, by this time constant, in seconds.
    """

    def __init__(self, memory_s: float = 5.0) -> None:
        self._memory_s = memory_s
        self._before: tuple[float, float, float] | None = None
        self._arriving = 0.0

    def update(self, now_s: float, fetched_s: float, waiting_s: float) -> float:
        """Take in a sample; one that was taken in already tells nothing new.

        Args:
            now_s: its moment.
            fetched_s: seconds of work fetched since the start.
            waiting_s: seconds of work in the queues now, this worker's share.

        Returns:
            Seconds of work that arrive in a second.
        """
        before, self._before = self._before, (now_s, fetched_s, waiting_s)
        if before is not None and now_s > before[0]:
            passed_s = now_s - before[0]
            rate = max(0.0, (fetched_s - before[1] + waiting_s - before[2]) / passed_s)
            self._arriving += (rate - self._arriving) * -math.expm1(-passed_s / self._memory_s)
        return self._arriving


class ScalingRule:
    """Up at once by as much as is needed, down to the most that was needed during the cooldown.

    Args:
        targets: what is aimed at.
    """

    def __init__(self, targets: ScalingTargets) -> None:
        self.targets = targets
        #: Moments and needs, the needs falling: the first is the largest of the cooldown.
        self._needs: deque[tuple[float, int]] = deque()

    def needed(self, load: Load) -> int:
        """Processes that keep up with the arrivals and work the backlog off in time; at least 1."""
        targets = self.targets
        keeping_up = load.arriving / targets.utilization
        catching_up = load.arriving + load.backlog_s / targets.drain_s
        return max(1, math.ceil(max(keeping_up, catching_up) - _ROUNDING))

    def decide(self, now_s: float, load: Load, least: int, most: int) -> int:
        """How many processes there should be.

        Args:
            now_s: a clock that does not go back, in seconds.
            load: what is seen now.
            least: fewest processes.
            most: most processes.
        """
        need = self.needed(load)
        while self._needs and self._needs[-1][1] <= need:
            self._needs.pop()
        self._needs.append((now_s, need))
        while self._needs[0][0] <= now_s - self.targets.cooldown_s:
            self._needs.popleft()
        return min(max(self._needs[0][1], least), most)
