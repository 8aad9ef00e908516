"""The ``worker_autoscaler``: scales processes with the work that waits in the queues and in the worker.

Celery's own autoscaler counts only the requests that a worker holds. It never asks the broker, goes straight to the
maximum for a handful of short requests, and starts from the minimum after each lull.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from celery.worker.autoscale import Autoscaler as CeleryAutoscaler

from worker.runtime import runtime_of
from worker.scaling.rule import ScalingRule
from worker.workload.monitor import ObservedWorkload
from worker.workload.workload import Workload

__all__ = ["Autoscaler"]

logger = logging.getLogger(__name__)

#: Interval between decisions.
_TICK_S = 0.5


class Autoscaler(CeleryAutoscaler):
    """Decides twice a second, based on the latest workload. A message costs it one addition.

    Args:
        pool: the pool to scale.
        max_concurrency: most processes.
        min_concurrency: fewest processes.
        worker: Celery's worker.
        keepalive: interval between decisions, in seconds.
        mutex: Celery's lock, unused with an event loop.
    """

    def __init__(  # noqa: PLR0917 - Celery's signature
        self,
        pool: Any,
        max_concurrency: int,
        min_concurrency: int = 0,
        worker: Any = None,
        keepalive: float = _TICK_S,
        mutex: Any = None,
    ) -> None:
        super().__init__(pool, max_concurrency, max(1, min_concurrency), worker, keepalive, mutex)
        runtime = runtime_of(worker.app)
        self._rule = ScalingRule(runtime.settings.scale)
        self._monitor = runtime.started_workload()
        self._workload: Workload | None = None
        #: The number of processes according to the last decision; None before it.
        self.wanted: int | None = None
        self._refused_s = -math.inf

    def maybe_scale(self, req: Any = None) -> None:
        """Count a request, or scale. Celery calls this for each request, and every ``keepalive`` seconds with none."""
        if req is not None:
            self._monitor.count(req)
            return
        observed = self._monitor.observe()
        # Nothing is changed while Redis does not answer.
        if observed is not None:
            self._scale(observed)

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:  # noqa: A002 - Celery's names
        """Set the range, for the control command ``autoscale``."""
        updated: tuple[int, int] = super().update(max, min)
        self.pool.maintain_pool()
        return updated

    def info(self) -> dict[str, Any]:
        """What ``inspect stats`` shows: the range, and the workload that the last decision was based on."""
        info: dict[str, Any] = super().info()
        if self._workload is not None:
            info["backlog-seconds"] = round(self._workload.backlog_s, 3)
            info["arriving-seconds-per-second"] = round(self._workload.arriving, 3)
            info["needed"] = self._rule.needed(self._workload)
        return info

    def _scale(self, observed: ObservedWorkload) -> None:
        self._workload = workload = observed.workload
        now_s, processes = time.monotonic(), self.processes
        wanted = self._rule.decide(now_s, workload, self.min_concurrency, self.max_concurrency)
        self.wanted = wanted
        if wanted == processes or (wanted > processes and now_s - self._refused_s < self._rule.targets.cooldown_s):
            return
        waiting = sum(observed.sample.waiting.values())
        logger.info(
            "scaling from %d to %d processes: %d requests wait in the queues and %d in this worker, %.1f s of work, "
            "with %.2f s more arriving per second",
            *(processes, wanted, waiting, observed.held, workload.backlog_s, workload.arriving),
        )
        if wanted > processes:
            self._grow(wanted - processes)
        else:
            self._shrink(processes - wanted)
        self.pool.maintain_pool()

    def _grow(self, n: int) -> None:
        """Add processes one by one, since there may not be enough free cores for all."""
        for _ in range(n):
            try:
                self.pool.grow(1)
            except ValueError as error:
                self._refused_s = time.monotonic()
                logger.warning("%s; the next attempt is in %g s", error, self._rule.targets.cooldown_s)
                return
            self._change_prefetch_count(1)

    def _shrink(self, n: int) -> None:
        """Stop idle processes."""
        for _ in range(n):
            try:
                self.pool.shrink(1)
            except ValueError:
                return
            self._change_prefetch_count(-1)

    def _change_prefetch_count(self, processes: int) -> None:
        self.worker.consumer._update_prefetch_count(processes)  # noqa: SLF001 - as in Celery's own

    def _update_consumer_prefetch_count(self, new_max: int) -> None:
        """Do nothing: the prefetch count follows the number of processes, not the range."""
