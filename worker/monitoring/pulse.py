"""Once a second the event loop says what it is doing, so that no other thread has to look into what it owns."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery.worker import state

from config import Settings
from worker.monitoring.health import BEAT_LATE_S, DeafWatch, Vitals
from worker.observability.metrics.meter import meter
from worker.pool.processes import ProcessPool
from worker.scaling.autoscaler import Autoscaler
from worker.scaling.workload import SeenLoad, load_watch_of

__all__ = ["BEAT_S", "Beat", "Pulse"]

BEAT_S = 1.0


@dataclass(frozen=True)
class Beat:
    """What the event loop said at one moment.

    Attributes:
        at_s: the moment, on the monotonic clock.
        seen: what there is to do; None while the broker does not answer.
        pids: the processes by their names in metrics, the parent among them.
        processes: pool processes: how many there are, have loaded their models, compute, are wanted, and the range.
        line: requests that wait for a process.
        restarts: of processes, by reason.
        fetches: calls that fetch, on the present connection.
        fetched: messages that they brought.
        deaf_for_s: see :class:`Vitals`.
    """

    at_s: float
    seen: SeenLoad | None = None
    pids: Mapping[str, int] = field(default_factory=dict)
    processes: Mapping[str, int] = field(default_factory=dict)
    line: int = 0
    restarts: Mapping[str, int] = field(default_factory=dict)
    fetches: int = 0
    fetched: int = 0
    deaf_for_s: float | None = None


class Pulse:
    """A worker's.

    Args:
        worker: Celery's worker.
        settings: how long it may be deaf.
    """

    def __init__(self, worker: Any, settings: Settings) -> None:
        self._worker = worker
        self._deaf = DeafWatch(settings.metrics.deaf_s)
        self.last = Beat(time.monotonic())

    def begin(self, hub: Any) -> None:
        """Beat on an event loop; after each loss of the connection again."""
        on_message = self._worker.consumer.on_task_message
        on_message.add(meter.received)
        if not isinstance(self._worker.autoscaler, Autoscaler):
            # Ours counts by itself.
            on_message.add(load_watch_of(self._worker).count)
        hub.call_repeatedly(BEAT_S, self.beat)
        self.beat()

    def beat(self) -> None:
        """Say what is so now."""
        worker, inner = self._worker, self._worker.pool._pool  # noqa: SLF001 - Celery's pool has no other way
        seen = load_watch_of(worker).look()
        channel = worker.consumer.task_consumer.channel
        now_s, ready = time.monotonic(), len(inner._all_inqueues)  # noqa: SLF001 - as above
        waiting = sum(seen.sample.waiting.values()) if seen else 0
        may_fetch = ready > 0 and bool(channel.qos.can_consume())
        fetcher = channel.fetcher
        is_ours = isinstance(inner, ProcessPool)
        self.last = Beat(
            at_s=now_s,
            seen=seen,
            pids={"parent": os.getpid(), **{str(process.index): process.pid for process in inner._pool}},  # noqa: SLF001
            processes={**self._range(), "ready": ready, "busy": inner.busy if is_ours else len(inner._busy_workers)},  # noqa: SLF001
            line=worker.pool.waiting if is_ours else 0,
            restarts={"died": inner.died, "failed_to_start": inner.failed_to_start} if is_ours else {},
            fetches=fetcher.fetches,
            fetched=fetcher.fetched,
            deaf_for_s=self._deaf.update(now_s, fetched=fetcher.fetched, waiting=waiting, may_fetch=may_fetch),
        )

    def seen(self) -> SeenLoad | None:
        """What there is to do, if that is known now; for any thread."""
        beat = self.last
        is_fresh = self._is_connected() and time.monotonic() - beat.at_s < BEAT_LATE_S
        return beat.seen if is_fresh else None

    def vitals(self) -> Vitals:
        """What is known now; for any thread."""
        beat = self.last
        return Vitals(
            is_stopping=_is_status(state.should_stop) or _is_status(state.should_terminate),
            is_connected=self._is_connected(),
            beat_ago_s=time.monotonic() - beat.at_s,
            processes_ready=beat.processes.get("ready", 0),
            broker_answers=load_watch_of(self._worker).is_answered(),
            deaf_for_s=beat.deaf_for_s,
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


def _is_status(status: Any) -> bool:
    """Whether Celery was told to stop; a status may be 0."""
    return status is not None and status is not False
