"""``worker_autoscaler``: the worker's processes follow the work that waits, in the queues and here.

Celery's own counts the requests that a worker holds: it never looks at the broker, goes straight to the most with a
handful of short requests, and starts from the least after each lull.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from celery.worker import state
from celery.worker.autoscale import Autoscaler as CeleryAutoscaler

from worker.queue_depth import DepthSample, DepthSampler
from worker.scaling_rule import Load, LoadMeter, ScalingRule, ScalingTargets

__all__ = ["Autoscaler"]

logger = logging.getLogger(__name__)

#: Between two decisions.
_TICK_S = 0.5
#: A sample that is older says nothing any more.
_STALE_S = 5.0


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
        self._meter = LoadMeter()
        self._fetched_s = 0.0
        self._load: Load | None = None
        self._refused_s = -math.inf
        self._sampler: DepthSampler | None = None

    def maybe_scale(self, req: Any = None) -> None:
        """Celery calls this with each message, and every ``keepalive`` seconds."""
        if req is not None:
            self._fetched_s += self._seconds_of(req.delivery_info.get("routing_key"))
            return
        if self._sampler is None:
            self._sampler = DepthSampler(self.worker.app, self.worker.hostname, self._queues, lambda: self._fetched_s)
            self._sampler.start()
        sample = self._sampler.latest
        # While Redis does not answer nothing is known, and nothing is changed.
        if sample is not None and time.monotonic() - sample.at_s < _STALE_S:
            self._scale(sample)

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

    def _scale(self, sample: DepthSample) -> None:
        waiting_s = sum(
            count / sample.workers[queue] * self._seconds_of(queue) for queue, count in sample.waiting.items()
        )
        held = [request.delivery_info.get("routing_key") for request in tuple(state.reserved_requests)]
        arriving = self._meter.update(sample.at_s, sample.mark, waiting_s)
        self._load = Load(waiting_s + sum(map(self._seconds_of, held)), arriving)
        now_s, processes = time.monotonic(), self.processes
        wanted = self._rule.decide(now_s, self._load, self.min_concurrency, self.max_concurrency)
        if wanted == processes or (wanted > processes and now_s - self._refused_s < self._rule.targets.cooldown_s):
            return
        waiting = sum(sample.waiting.values())
        logger.info(
            "from %d to %d processes: %d requests in the queues and %d here, %.1f s of work; %.2f s arrive a second",
            *(processes, wanted, waiting, len(held), self._load.backlog_s, self._load.arriving),
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

    def _seconds_of(self, queue: str | None) -> float:
        seconds: float = self.pool.seconds_of(queue)
        return seconds

    def _queues(self) -> list[str]:
        return [queue.name for queue in self.worker.consumer.task_consumer.queues]
