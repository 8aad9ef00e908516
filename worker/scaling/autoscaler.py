"""``worker_autoscaler``: the worker's processes follow the work that waits, in the queues and here.

Celery's own counts the requests that a worker holds: it never looks at the broker, goes straight to the most with a
handful of short requests, and starts from the least after each lull.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from celery.worker.autoscale import Autoscaler as CeleryAutoscaler

from worker.scaling.rule import Load, ScalingRule, ScalingTargets
from worker.scaling.workload import SeenLoad, load_watch_of

__all__ = ["Autoscaler"]

logger = logging.getLogger(__name__)

#: Between two decisions.
_TICK_S = 0.5


class Autoscaler(CeleryAutoscaler):
    """Decides twice a second, from what was seen of the queues in the last second; a message costs it one addition.

    Args:
        pool: whose processes.
        max_concurrency: most of them.
        min_concurrency: fewest of them.
        worker: Celery's worker.
        keepalive: between two decisions, in seconds.
        mutex: Celery's, unused with an event loop.
    """

    def __init__(  # noqa: PLR0917 - as Celery calls it
        self,
        pool: Any,
        max_concurrency: int,
        min_concurrency: int = 0,
        worker: Any = None,
        keepalive: float = _TICK_S,
        mutex: Any = None,
    ) -> None:
        super().__init__(pool, max_concurrency, max(1, min_concurrency), worker, keepalive, mutex)
        scale = worker.app.celeriac_settings.scale
        self._rule = ScalingRule(ScalingTargets(scale.drain_s, scale.utilization, scale.cooldown_s))
        self._watch = load_watch_of(worker)
        self._load: Load | None = None
        #: What the last decision wanted.
        self.wanted: int | None = None
        self._refused_s = -math.inf

    def maybe_scale(self, req: Any = None) -> None:
        """Celery calls this with each message, and every ``keepalive`` seconds."""
        if req is not None:
            self._watch.count(req)
            return
        seen = self._watch.look()
        # While Redis does not answer nothing is known, and nothing is changed.
        if seen is not None:
            self._scale(seen)

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:  # noqa: A002 - Celery's names
        """Set the range; the control command ``autoscale``.

        Raises:
            ValueError: there are not as many free cores.
        """
        updated: tuple[int, int] = super().update(max, min)
        self.pool.maintain_pool()
        return updated

    def info(self) -> dict[str, Any]:
        """What ``inspect stats`` shows: the range, and what the last decision was made from."""
        info: dict[str, Any] = super().info()
        if self._load is not None:
            info["backlog-seconds"] = round(self._load.backlog_s, 3)
            info["arriving-seconds-per-second"] = round(self._load.arriving, 3)
            info["needed"] = self._rule.needed(self._load)
        return info

    def _scale(self, seen: SeenLoad) -> None:
        self._load = seen.load
        now_s, processes = time.monotonic(), self.processes
        wanted = self._rule.decide(now_s, seen.load, self.min_concurrency, self.max_concurrency)
        self.wanted = wanted
        if wanted == processes or (wanted > processes and now_s - self._refused_s < self._rule.targets.cooldown_s):
            return
        waiting = sum(seen.sample.waiting.values())
        logger.info(
            "from %d to %d processes: %d requests in the queues and %d here, %.1f s of work; %.2f s arrive a second",
            *(processes, wanted, waiting, seen.held, seen.load.backlog_s, seen.load.arriving),
        )
        if wanted > processes:
            self._grow(wanted - processes)
        else:
            self._shrink(processes - wanted)
        self.pool.maintain_pool()

    def _grow(self, n: int) -> None:
        """One by one, since another worker may have taken the cores."""
        for _ in range(n):
            try:
                self.pool.grow(1)
            except ValueError as error:
                self._refused_s = time.monotonic()
                logger.warning("%s; trying again in %g s", error, self._rule.targets.cooldown_s)
                return
            self.worker.consumer._update_prefetch_count(1)  # noqa: SLF001 - as Celery's own

    def _shrink(self, n: int) -> None:
        """Only processes that have nothing to do."""
        for _ in range(n):
            try:
                self.pool.shrink(1)
            except ValueError:
                return
            self.worker.consumer._update_prefetch_count(-1)  # noqa: SLF001 - as Celery's own

    def _update_consumer_prefetch_count(self, new_max: int) -> None:
        """Nothing: it follows the processes, not the range."""
