"""Reads which requests were cancelled while this worker did not hear of it: before its start, or by a lost message."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks
from redis.exceptions import RedisError

from worker.results.backend import RedisBackend
from worker.runtime import runtime_of

__all__ = ["CancellationReader"]

logger = logging.getLogger(__name__)

#: How often; what runs is told at once, so this only finds what was lost, in seconds.
_READ_EVERY_S = 5.0


class CancellationReader(bootsteps.StartStopStep):
    """Consumer step: reads cancellations before the worker consumes, and every few seconds."""

    requires = (Tasks,)

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        self._timer: Any = None
        super().__init__(consumer, **options)

    def start(self, consumer: Consumer) -> None:
        """Start reading; Celery calls this whenever the worker starts to consume."""
        self._read(consumer)
        self._timer = consumer.timer.call_repeatedly(_READ_EVERY_S, self._read, (consumer,))

    def stop(self, _consumer: Consumer) -> None:
        """Stop reading: the connection is lost, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read(self, consumer: Consumer) -> None:
        backend = consumer.app.backend
        if not isinstance(backend, RedisBackend):
            return
        try:
            runtime_of(consumer.app).cancellations.read(backend.client, backend.key_prefix)
        except RedisError:
            logger.warning("could not read which requests are cancelled", exc_info=True)
