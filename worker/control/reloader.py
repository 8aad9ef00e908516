"""Runs an exchange of models on a worker's event loop, and starts one when a model has been prepared anew."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

from models.store import places
from worker.exchange.model_exchange import ExchangeOutcome, ExchangeReport, OnEnd
from worker.pool import TaskPool
from worker.runtime import runtime_of

__all__ = ["ModelReloader", "begin_exchange"]

logger = logging.getLogger(__name__)

#: How often an exchange goes on, in seconds.
_TICK_S = 0.1

#: What tells one state of a directory from another: name, inode, time of change and size of each file.
_State = tuple[tuple[str, int, int, int], ...]


def begin_exchange(consumer: Consumer, on_end: OnEnd | None = None) -> ExchangeReport:
    """Look for newly prepared models, and exchange what the worker serves for them.

    Args:
        consumer: Celery's consumer, whose timer is used.
        on_end: called with the outcome if an exchange was started.
    """
    pool = consumer.pool
    if not isinstance(pool, TaskPool):
        return ExchangeReport(ExchangeOutcome.REFUSED, "only worker.pool:TaskPool can replace its processes in turn")
    runtime = runtime_of(consumer.app)
    was_active = runtime.exchange.is_active
    cores = next(iter(runtime.started_leases().sets.values())).cores
    report = runtime.exchange.begin(pool.processes, cores, on_end)
    if not was_active:
        _go_on(consumer)
    return report


def _go_on(consumer: Consumer) -> None:
    exchange = runtime_of(consumer.app).exchange
    exchange.tick()
    if exchange.is_active:
        consumer.timer.call_after(_TICK_S, _go_on, (consumer,))


class ModelReloader(bootsteps.StartStopStep):
    """Consumer step: takes up an exchange after a lost connection, and looks at the models' directories if configured.

    The look takes a few calls of ``stat`` per model, on the event loop.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        self._timer: Any = None
        self._seen: list[_State] | None = None
        super().__init__(consumer, **options)

    def start(self, consumer: Consumer) -> None:
        """Go on; Celery calls this whenever the worker starts to consume, and has cleared the timer before."""
        _go_on(consumer)
        every_s = runtime_of(consumer.app).settings.reload.every_s
        if every_s is not None:
            self._timer = consumer.timer.call_repeatedly(every_s, self._look, (consumer,))

    def stop(self, _consumer: Consumer) -> None:
        """Stop looking: the connection is lost, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def shutdown(self, consumer: Consumer) -> None:
        """End a check: the worker ends."""
        runtime_of(consumer.app).exchange.stop()

    def _look(self, consumer: Consumer) -> None:
        runtime = runtime_of(consumer.app)
        if runtime.exchange.is_active:
            return
        settings = runtime.settings
        seen = [state for name in settings.models for state in map(_state_of, places(name, settings.model_dir))]
        if seen != self._seen:
            self._seen = seen
            report = begin_exchange(consumer)
            logger.debug("the models' directories have changed: %s", report.message)


def _state_of(directory: Path) -> _State:
    try:
        found = [(path.name, path.stat()) for path in directory.iterdir()]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in found))
