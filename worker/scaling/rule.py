"""Decides how many processes a workload needs. It uses no clock, Redis or processes.

The autoscaler (``worker/scaling/autoscaler.py``) and the simulator (``benchmarks/scaling.py``) run the same code.
"""

from __future__ import annotations

import math
from collections import deque

from config.groups import ScaleSettings
from worker.workload.workload import Workload

__all__ = ["ScalingRule"]

#: Tolerance for rounding errors of sums.
_ROUNDING = 1e-9


class ScalingRule:
    """Scales up immediately to what is needed, and down to the most that was needed during the cooldown.

    Args:
        targets: the targets of the rule.
    """

    def __init__(self, targets: ScaleSettings) -> None:
        self.targets = targets
        #: Times and needs, ascending in time and descending in need: the first is the largest of the cooldown.
        self._needs: deque[tuple[float, int]] = deque()

    def needed(self, workload: Workload) -> int:
        """The number of processes that keep up with arrivals and drain the backlog in time, at least 1."""
        targets = self.targets
        keeping_up = workload.arriving / targets.utilization
        catching_up = workload.arriving + workload.backlog_s / targets.drain_s
        return max(1, math.ceil(max(keeping_up, catching_up) - _ROUNDING))

    def decide(self, now_s: float, workload: Workload, least: int, most: int) -> int:
        """Decide how many processes there should be.

        Args:
            now_s: the time on a monotonic clock, in seconds.
            workload: the current workload.
            least: fewest processes.
            most: most processes.
        """
        need = self.needed(workload)
        while self._needs and self._needs[-1][1] <= need:
            self._needs.pop()
        self._needs.append((now_s, need))
        while self._needs[0][0] <= now_s - self.targets.cooldown_s:
            self._needs.popleft()
        return min(max(self._needs[0][1], least), most)
