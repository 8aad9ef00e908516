"""The registry of models in Redis: each worker announces the models that it serves, and asks who serves another."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from models.pipelines import tasks_of
from producer.contract import TaskName, model_queue_name
from worker.runtime import runtime_of

__all__ = ["ModelAnnouncer", "is_announced"]

logger = logging.getLogger(__name__)

_KEY = "celeriac.models"
#: A model that no worker has announced for this long is unknown. Replacing a worker takes less.
_KNOWN_S = 600
_ANNOUNCE_S = 30.0


class ModelAnnouncer(bootsteps.StartStopStep):
    """Consumer step: announces this worker's models again and again; they are forgotten ten minutes after the last."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._timer: Any = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Start to announce; called whenever the worker starts to consume."""
        self._announce(consumer)
        self._timer = consumer.timer.call_repeatedly(_ANNOUNCE_S, self._announce, (consumer,))

    def stop(self, _consumer: Any) -> None:
        """Stop to announce: the connection is lost, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _announce(self, consumer: Any) -> None:
        served = runtime_of(consumer.app).served
        now_s = time.time()
        known = {
            _member(task, model.name): now_s
            for model in served.models
            for task in tasks_of(model)
            # A worker that was told its queues with -Q serves others only models whose queue is among them.
            if model_queue_name(model.name) in consumer.app.amqp.queues.consume_from
        }
        if not known:
            return
        try:
            with consumer.app.pool.acquire(block=True) as connection:
                pipe = connection.default_channel.client.pipeline(transaction=False)
                pipe.zadd(_KEY, known)
                pipe.zremrangebyscore(_KEY, "-inf", now_s - _KNOWN_S)
                pipe.expire(_KEY, _KNOWN_S)
                pipe.execute()
        except (RedisError, OSError, OperationalError):
            logger.warning("could not announce this worker's models to the other workers", exc_info=True)


def is_announced(app: Any, task: TaskName, model: str) -> bool:
    """Whether some worker of this Redis has lately announced a model for a task.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    with app.pool.acquire(block=True) as connection:
        seen_s = connection.default_channel.client.zscore(_KEY, _member(task, model))
    return seen_s is not None and time.time() - seen_s < _KNOWN_S


def _member(task: TaskName, model: str) -> str:
    return f"{task.value}:{model}"
