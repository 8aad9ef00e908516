"""Observes the workload of a worker, for the autoscaler and the metrics."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass

from celery.worker import WorkController, state
from celery.worker.request import Request

from worker.pool.throughput import UNKNOWN_REQUEST_S
from worker.workload.identity import WorkerIdentity
from worker.workload.queue_depth import DepthSample, DepthSampler
from worker.workload.workload import ArrivalMeter, Workload

__all__ = ["ObservedWorkload", "WorkloadMonitor"]

#: Older samples are ignored.
_STALE_S = 5.0


@dataclass(frozen=True)
class ObservedWorkload:
    """A worker's workload, and the measurements behind it.

    Attributes:
        workload: the workload of this worker.
        sample: the sample of the queues.
        held: number of requests that the worker has fetched but not finished.
        held_s: seconds that one process is expected to take for them.
    """

    workload: Workload
    sample: DepthSample
    held: int
    held_s: float


class WorkloadMonitor:
    """Observes one worker; used on its event loop.

    Args:
        worker: Celery's worker, with our pool or Celery's own.
    """

    def __init__(self, worker: WorkController) -> None:
        self._worker = worker
        self._identity = WorkerIdentity.of_new_start(worker.hostname)
        self._arrivals = ArrivalMeter()
        self._fetched_s = 0.0
        self._sampler: DepthSampler | None = None

    def count(self, request: Request) -> None:
        """Count a fetched request; Celery calls this for each."""
        self._fetched_s += self.seconds_of(request.delivery_info.get("routing_key"))

    def observe(self) -> ObservedWorkload | None:
        """Derive the workload from the latest sample, and announce it to the other workers.

        The first call starts the sampling.

        Returns:
            None while there is no recent sample: Redis does not answer, or has not been asked yet.
        """
        if self._sampler is None:
            self._sampler = DepthSampler(self._worker.app, self._identity, self.queues, lambda: self._fetched_s)
            self._sampler.start()
        sample = self._fresh_sample()
        if sample is None:
            return None
        waiting_s = sum(
            count / sample.workers[queue] * self.seconds_of(queue) for queue, count in sample.waiting.items()
        )
        held = Counter(request.delivery_info.get("routing_key") for request in tuple(state.reserved_requests))
        held_s = sum(count * self.seconds_of(queue) for queue, count in held.items())
        workload = Workload(waiting_s + held_s, self._arrivals.update(sample.at_s, sample.fetched_s, waiting_s))
        self._sampler.announcement = json.dumps(
            {"queues": sorted(sample.waiting), "held_s": round(held_s, 3), "arriving": round(workload.arriving, 3)}
        )
        return ObservedWorkload(workload, sample, held.total(), held_s)

    def is_answered(self) -> bool:
        """Whether Redis has answered in the last few seconds; callable from any thread."""
        return self._fresh_sample() is not None

    def seconds_of(self, queue: str | None) -> float:
        """Seconds that a request from a queue is expected to take a process."""
        seconds_of = getattr(self._worker.pool, "seconds_of", None)
        # Celery's own pool measures nothing.
        return float(seconds_of(queue)) if seconds_of else UNKNOWN_REQUEST_S

    def queues(self) -> list[str]:
        """Names of the queues that the worker consumes."""
        return [queue.name for queue in self._worker.consumer.task_consumer.queues]

    def _fresh_sample(self) -> DepthSample | None:
        sample = self._sampler.latest if self._sampler is not None else None
        return sample if sample is not None and time.monotonic() - sample.at_s < _STALE_S else None
