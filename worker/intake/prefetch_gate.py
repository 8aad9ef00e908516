"""A worker holds no more work than it can finish long before the visibility timeout, and none that it cannot store.

A message that a worker has fetched and not finished after the visibility timeout is given to another worker, and
computed twice. A number of messages cannot prevent that, since a message may hold one word or 64 long texts. The limit
is therefore the time that the held messages are estimated to take, from their size and the speed measured so far. The
first of it is what each process measures at its start.

While results cannot be stored, nothing is fetched: each request would be computed, given back and fetched again.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from worker.pool.throughput import ByteThroughput
from worker.results.store_watch import StoreWatch
from worker.runtime import runtime_of
from worker.transport.admission import NO_CREDIT, Credit

__all__ = ["HeldWorkAdmission", "PrefetchGate"]


class PrefetchGate(bootsteps.StartStopStep):
    """Consumer step: fetch only while the held messages take less than ``limits.held_work_s`` to finish.

    A worker with fewer requests than processes always fetches, so that no request is too large to be served and no
    process is idle. For a process that has not started yet it holds one request, since nobody knows its speed.
    """

    requires = (Tasks,)

    def start(self, consumer: Any) -> None:
        """Put the gate before the new channel; called after every (re)connection."""
        runtime = runtime_of(consumer.app)
        limit_s = runtime.settings.limits.held_work_s
        admission = HeldWorkAdmission(consumer.pool, runtime.throughput, limit_s, runtime.storing)
        consumer.task_consumer.channel.admit_by(admission)


class HeldWorkAdmission:
    """Admits as many bytes as the processes of a pool are estimated to finish within a limit.

    Args:
        pool: Celery's pool; the number of its processes may change.
        throughput: estimates how long the held requests take.
        limit_s: how long each process may have work in hand, in seconds.
        storing: whether results can be stored.
    """

    def __init__(self, pool: Any, throughput: ByteThroughput, limit_s: float, storing: StoreWatch) -> None:
        self._pool, self._throughput, self._limit_s, self._storing = pool, throughput, limit_s, storing

    def credit(self) -> Credit:
        """How much may be fetched now."""
        if self._storing.problem is not None:
            return NO_CREDIT
        held, processes = tuple(state.reserved_requests), self._pool.num_processes
        held_s = self._throughput.estimate_s(sum(len(request.body) for request in held))
        # Celery's own pool does not tell which processes are up.
        left_s = self._limit_s * getattr(self._pool, "num_up", processes) - held_s
        if left_s <= 0 and len(held) >= processes:
            return NO_CREDIT
        return Credit(body_bytes=max(1, self._throughput.bytes_in(left_s)))
