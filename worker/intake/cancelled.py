"""Reads which requests were cancelled while this worker did not hear of it: before its start, or by a lost message."""

from __future__ import annotations

import logging
import threading
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
#: How long a worker waits for the first reading before it consumes, in seconds.
_FIRST_READING_S = 1.0


class CancellationReader(bootsteps.StartStopStep):
    """Consumer step: reads cancellations before the worker consumes, and every few seconds.

    In a thread, since a server of results that is silent would keep the event loop waiting.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        self._stopping = threading.Event()
        super().__init__(consumer, **options)

    def start(self, consumer: Consumer) -> None:
        """Start reading; Celery calls this whenever the worker starts to consume."""
        self._stopping, has_read = threading.Event(), threading.Event()
        threading.Thread(
            target=_keep_reading, args=(consumer.app, self._stopping, has_read), name="cancellations", daemon=True
        ).start()
        has_read.wait(_FIRST_READING_S)

    def stop(self, _consumer: Consumer) -> None:
        """Stop reading: the connection is lost, or the worker ends."""
        self._stopping.set()


def _keep_reading(app: Any, stopping: threading.Event, has_read: threading.Event) -> None:
    # Each thread has a backend of its own, so no pool process inherits a lock of its connections.
    backend, cancellations = app.backend, runtime_of(app).cancellations
    if not isinstance(backend, RedisBackend):
        has_read.set()
        return
    while not stopping.is_set():
        try:
            cancellations.read(backend.client, backend.key_prefix)
        except RedisError:
            logger.warning("could not read which requests are cancelled", exc_info=True)
        has_read.set()
        stopping.wait(_READ_EVERY_S)
    backend.client.connection_pool.disconnect()
