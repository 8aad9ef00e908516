"""A worker holds no more work than it can finish long before the visibility timeout.

What a worker has fetched and not finished after the visibility timeout is given to another worker and computed
twice. A count of messages cannot bound that, since one may hold one word or 64 long texts: the bound is the time
that the held messages are estimated to take, from their size and the speed measured so far.
"""

from __future__ import annotations

import logging
from types import MethodType
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from worker.pool.throughput import ByteThroughput
from worker.runtime import runtime_of

__all__ = ["PrefetchGate"]

logger = logging.getLogger(__name__)


class PrefetchGate(bootsteps.StartStopStep):
    """Consumer step: fetch only while what is held takes less than ``limits.held_work_s`` to finish.

    It wraps the channel's ``can_consume`` as Celery's own ``worker_disable_prefetch`` does. A worker with fewer
    requests than processes always fetches, so that no request is too large to be served and no process idles.
    """

    requires = (Tasks,)

    def start(self, consumer: Any) -> None:
        """Wrap the check of the new channel; called after every (re)connection."""
        runtime = runtime_of(consumer.app)
        limit_s, throughput = runtime.settings.limits.held_work_s, runtime.throughput
        qos = consumer.task_consumer.channel.qos
        may_consume = qos.can_consume

        def can_consume(_: Any) -> bool:
            return bool(may_consume()) and _has_room(throughput, consumer.pool.num_processes, limit_s)

        qos.can_consume = MethodType(can_consume, qos)
        # One fetch takes many messages: it is told how many bytes fill the time that is left.
        qos.room_bytes = lambda: throughput.bytes_in(limit_s * consumer.pool.num_processes - _held_s(throughput))


def _has_room(throughput: ByteThroughput, processes: int, limit_s: float) -> bool:
    return len(state.reserved_requests) < processes or _held_s(throughput) < limit_s * processes


def _held_s(throughput: ByteThroughput) -> float:
    """Seconds of one process that the held requests are estimated to take."""
    return throughput.estimate_s(sum(len(request.body) for request in tuple(state.reserved_requests)))
