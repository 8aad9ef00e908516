"""How many workers the queues need: the autoscaler's rule, for all workers together that consume the same queues."""

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

__all__ = ["Announced", "announced", "figures"]


@dataclass(frozen=True)
class Announced:
    """What a worker has told the others about itself.

    Attributes:
        held_s: work that it holds, in seconds of one process.
        arriving: seconds of work that arrive for it per second.
    """

    held_s: float
    arriving: float


def announced(client: Any, observed: ObservedWorkload) -> list[Announced]:
    """What the workers have announced that consume the same queues as the one that observed this workload.

    A worker that consumes other queues too, or not all of these, is scaled with its own kind.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    workers = observed.sample.workers
    if not workers:
        return []
    queue = min(workers, key=lambda name: workers[name])
    members = client.zrangebyscore(workers_key(queue), time.time() - GONE_S, "+inf")
    found = client.mget([load_key(member.decode()) for member in members]) if members else []
    told = [json.loads(value) for value in found if value is not None]
    return [Announced(one["held_s"], one["arriving"]) for one in told if one["queues"] == sorted(workers)]


def figures(
    observed: ObservedWorkload,
    others: Sequence[Announced],
    *,
    seconds_of: Callable[[str], float],
    rule: ScalingRule,
    processes_per_worker: int,
) -> Mapping[str, Any]:
    """What ``/scale`` says.

    Args:
        observed: the workload of one of the workers.
        others: what all of them have announced, that one included.
        seconds_of: seconds that a request from a queue takes a process.
        rule: the rule, without its memory: whoever asks reaches another worker each time.
        processes_per_worker: most processes of one worker.
    """
    sample, count = observed.sample, max(1, len(others))
    # A queue that other workers consume too, such as Celery's default queue, is shared with them.
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
