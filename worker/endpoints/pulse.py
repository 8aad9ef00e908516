"""Publishes the state of the event loop once a second, so that no other thread reads what the loop owns."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from celery.worker import WorkController, state
from kombu.asynchronous import Hub

from worker.endpoints.health import BEAT_LATE_S, DeafWatch, Vitals
from worker.observability.metrics.meter import RestartReason
from worker.pool.processes import ProcessPool
from worker.runtime import WorkerRuntime
from worker.scaling.autoscaler import Autoscaler
from worker.workload.monitor import ObservedWorkload

__all__ = ["BEAT_S", "Beat", "Pulse"]

BEAT_S = 1.0


@dataclass(frozen=True)
class Beat:
    """The state of the event loop at one moment.

    Attributes:
        at_s: when it was published, on the monotonic clock.
        observed: the workload; None while the broker does not answer.
        pids: pids of the parent and the pool processes, by their label in metrics.
        processes: numbers of pool processes: ``all``, ``ready``, ``busy``, ``wanted``, ``min`` and ``max``.
        waiting: number of held requests that are waiting for a process.
        restarts: number of processes that were replaced, by reason.
        fetches: number of fetches on the current connection.
        fetched: number of messages fetched on the current connection.
        deaf_for_s: see :class:`Vitals`.
    """

    at_s: float
    observed: ObservedWorkload | None = None
    pids: Mapping[str, int] = field(default_factory=dict)
    processes: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    restarts: Mapping[RestartReason, int] = field(default_factory=dict)
    fetches: int = 0
    fetched: int = 0
    deaf_for_s: float | None = None


class Pulse:
    """The beats of one worker.

    Args:
        worker: Celery's worker.
        runtime: its runtime.
    """

    def __init__(self, worker: WorkController, runtime: WorkerRuntime) -> None:
        self._worker = worker
        self._meter = runtime.meter
        self._workload = runtime.started_workload()
        self._storing = runtime.storing
        self._deaf = DeafWatch(runtime.settings.metrics.deaf_s)
        self.last = Beat(time.monotonic())

    def begin(self, hub: Hub) -> None:
        """Start to beat on an event loop; called again after each lost connection."""
        on_message = self._worker.consumer.on_task_message
        on_message.add(self._meter.on_received)
        if not isinstance(self._worker.autoscaler, Autoscaler):
            # Our autoscaler counts requests itself.
            on_message.add(self._workload.count)
        hub.call_repeatedly(BEAT_S, self.beat)
        self.beat()

    def beat(self) -> None:
        """Publish the current state."""
        worker, pool = self._worker, self._worker.pool._pool  # noqa: SLF001 - Celery's pool has no public way
        observed = self._workload.observe()
        channel = worker.consumer.task_consumer.channel
        now_s, ready = time.monotonic(), len(pool._all_inqueues)  # noqa: SLF001 - as above
        waiting = sum(observed.sample.waiting.values()) if observed else 0
        may_fetch = ready > 0 and bool(channel.qos.can_consume())
        fetcher = channel.fetcher
        is_ours = isinstance(pool, ProcessPool)
        self.last = Beat(
            at_s=now_s,
            observed=observed,
            pids={"parent": os.getpid(), **{str(process.index): process.pid for process in pool._pool}},  # noqa: SLF001
            processes={**self._range(), "ready": ready, "busy": pool.busy if is_ours else len(pool._busy_workers)},  # noqa: SLF001
            waiting=worker.pool.waiting if is_ours else 0,
            restarts=dict(self._meter.restarts),
            fetches=fetcher.fetches,
            fetched=fetcher.fetched,
            deaf_for_s=self._deaf.update(now_s, fetched=fetcher.fetched, waiting=waiting, may_fetch=may_fetch),
        )

    def observed(self) -> ObservedWorkload | None:
        """The workload, or None if it is not known at the moment; callable from any thread."""
        beat = self.last
        is_fresh = self._is_connected() and time.monotonic() - beat.at_s < BEAT_LATE_S
        return beat.observed if is_fresh else None

    def vitals(self) -> Vitals:
        """The current vital signs; callable from any thread."""
        beat = self.last
        return Vitals(
            is_stopping=_is_status(state.should_stop) or _is_status(state.should_terminate),
            is_connected=self._is_connected(),
            beat_ago_s=time.monotonic() - beat.at_s,
            processes_ready=beat.processes.get("ready", 0),
            broker_answers=self._workload.is_answered(),
            deaf_for_s=beat.deaf_for_s,
            storing_problem=self._storing.problem,
        )

    def _is_connected(self) -> bool:
        consumer = self._worker.consumer
        return consumer is not None and consumer.connection is not None

    def _range(self) -> dict[str, int]:
        autoscaler, processes = self._worker.autoscaler, self._worker.pool.num_processes
        if not autoscaler:
            return {"all": processes, "wanted": processes, "min": processes, "max": processes}
        wanted = autoscaler.wanted if isinstance(autoscaler, Autoscaler) else None
        return {
            "all": processes,
            "wanted": processes if wanted is None else wanted,
            "min": autoscaler.min_concurrency,
            "max": autoscaler.max_concurrency,
        }


def _is_status(status: object) -> bool:
    """Whether Celery has been told to stop: an exit status, which may be 0."""
    return status is not None and status is not False
