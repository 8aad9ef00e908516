"""Computes how many workers the queues need, by the autoscaler's rule for all workers of the same queues together."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.scaling.rule import ScalingRule
from worker.workload.monitor import ObservedWorkload
from worker.workload.queue_depth import GONE_S, load_key, workers_key
from worker.workload.workload import Workload

__all__ = ["Announcement", "read_announcements", "worker_demand"]


@dataclass(frozen=True)
class Announcement:
    """What a worker has announced about itself.

    Attributes:
        held_s: seconds of work for one process that it holds.
        arriving: seconds of work that arrive for it per second.
    """

    held_s: float
    arriving: float


def read_announcements(client: Any, observed: ObservedWorkload) -> list[Announcement]:
    """The announcements of all workers that consume the same queues as the observing worker.

    A worker that consumes other queues as well, or only some of these, belongs to another group.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    workers = observed.sample.workers
    if not workers:
        return []
    queue = min(workers, key=lambda name: workers[name])
    members = client.zrangebyscore(workers_key(queue), time.time() - GONE_S, "+inf")
    values = client.mget([load_key(member.decode()) for member in members]) if members else []
    loads = [json.loads(value) for value in values if value is not None]
    return [Announcement(load["held_s"], load["arriving"]) for load in loads if load["queues"] == sorted(workers)]


def worker_demand(
    observed: ObservedWorkload,
    others: Sequence[Announcement],
    *,
    seconds_of: Callable[[str], float],
    rule: ScalingRule,
    processes_per_worker: int,
) -> Mapping[str, Any]:
    """The content of ``/scale``.

    Args:
        observed: the workload of one of the workers.
        others: the announcements of all workers of these queues, including that one.
        seconds_of: returns the seconds that a process takes for a request from a queue.
        rule: the scaling rule. Its history is not used, since every call may reach another worker.
        processes_per_worker: most processes of one worker.
    """
    sample, count = observed.sample, max(1, len(others))
    # Other workers have their share of a queue that they consume too, such as Celery's default queue.
    waiting_s = sum(
        waiting * min(1.0, count / sample.workers[queue]) * seconds_of(queue)
        for queue, waiting in sample.waiting.items()
    )
    held_s = sum(worker.held_s for worker in others)
    workload = Workload(waiting_s + held_s, sum(worker.arriving for worker in others))
    processes = rule.needed(workload)
    return {
        "processes_wanted": processes,
        "workers_wanted": math.ceil(processes / processes_per_worker),
        "processes_per_worker": processes_per_worker,
        "backlog_s": round(workload.backlog_s, 3),
        "arriving": round(workload.arriving, 3),
        "held_s": round(held_s, 3),
        "workers": len(others),
        "queues": {
            queue: {"waiting": waiting, "oldest_s": sample.oldest_s.get(queue)}
            for queue, waiting in sample.waiting.items()
        },
    }
