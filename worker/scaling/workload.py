"""What waits for a worker and what comes to it, in seconds of one process: what autoscaler and metrics go by."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from celery.worker import state

from worker.scaling.identity import WorkerIdentity
from worker.scaling.queue_depth import DepthSample, DepthSampler
from worker.scaling.rule import Load, LoadMeter

__all__ = ["LoadWatch", "SeenLoad", "load_watch_of"]

#: A sample that is older says nothing any more.
_STALE_S = 5.0
#: What a request takes where nobody knows: a short text does.
_UNKNOWN_S = 0.01


@dataclass(frozen=True)
class SeenLoad:
    """A worker's load, and what it was told from.

    Attributes:
        load: this worker's.
        sample: what was in the queues.
        held: requests that the worker has fetched and not finished.
        held_s: the seconds of one process that they are expected to take.
    """

    load: Load
    sample: DepthSample
    held: int
    held_s: float


class LoadWatch:
    """One worker's; used on its event loop.

    Args:
        worker: Celery's worker, with our pool or Celery's own.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._identity = WorkerIdentity.of_new_start(worker.hostname)
        self._meter = LoadMeter()
        self._fetched_s = 0.0
        self._sampler: DepthSampler | None = None

    def count(self, request: Any) -> None:
        """A request was fetched; Celery calls this with each."""
        self._fetched_s += self.seconds_of(request.delivery_info.get("routing_key"))

    def look(self) -> SeenLoad | None:
        """What there is to do, as sampled within the last seconds; None while Redis does not answer.

        The first call begins the sampling.
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
        load = Load(waiting_s + held_s, self._meter.update(sample.at_s, sample.mark, waiting_s))
        self._sampler.announcement = json.dumps(
            {"queues": sorted(sample.waiting), "held_s": round(held_s, 3), "arriving": round(load.arriving, 3)}
        )
        return SeenLoad(load, sample, held.total(), held_s)

    def is_answered(self) -> bool:
        """Whether Redis has answered lately; for any thread."""
        return self._fresh_sample() is not None

    def seconds_of(self, queue: str | None) -> float:
        """What a request from a queue is expected to take a process."""
        seconds_of = getattr(self._worker.pool, "seconds_of", None)
        # Celery's own pool measures nothing.
        return float(seconds_of(queue)) if seconds_of else _UNKNOWN_S

    def queues(self) -> list[str]:
        """What the worker consumes."""
        return [queue.name for queue in self._worker.consumer.task_consumer.queues]

    def _fresh_sample(self) -> DepthSample | None:
        sample = self._sampler.latest if self._sampler is not None else None
        return sample if sample is not None and time.monotonic() - sample.at_s < _STALE_S else None


def load_watch_of(worker: Any) -> LoadWatch:
    """The one watch of a worker."""
    watch: LoadWatch | None = getattr(worker, "celeriac_load_watch", None)
    if watch is None:
        watch = worker.celeriac_load_watch = LoadWatch(worker)
    return watch
