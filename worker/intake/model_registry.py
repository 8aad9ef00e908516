"""The registry of models in Redis: workers announce the models that they serve, and look up those of others."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Celery, bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from models.pipelines import tasks_of
from producer.contract import TaskName, model_queue_name
from worker.runtime import runtime_of

__all__ = ["ModelAnnouncer", "is_announced"]

logger = logging.getLogger(__name__)

_KEY = "celeriac.models"
#: A model that no worker has announced for this long is unknown. Replacing a worker takes less time.
_MODEL_LASTS_S = 600
_ANNOUNCE_EVERY_S = 30.0


class ModelAnnouncer(bootsteps.StartStopStep):
    """Consumer step: announces this worker's models every 30 seconds. They expire ten minutes after the last time."""

    requires = (Tasks,)

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        self._timer: Any = None
        super().__init__(consumer, **options)

    def start(self, consumer: Consumer) -> None:
        """Start announcing; Celery calls this whenever the worker starts to consume."""
        self._announce(consumer)
        self._timer = consumer.timer.call_repeatedly(_ANNOUNCE_EVERY_S, self._announce, (consumer,))

    def stop(self, _consumer: Consumer) -> None:
        """Stop announcing: the connection is lost, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _announce(self, consumer: Consumer) -> None:
        served = runtime_of(consumer.app).served
        now_s = time.time()
        members = {
            _member(task, model.name): now_s
            for model in served.models
            for task in tasks_of(model)
            # With -Q, a worker announces only models whose queue it consumes.
            if model_queue_name(model.name) in consumer.app.amqp.queues.consume_from
        }
        if not members:
            return
        try:
            with consumer.app.pool.acquire(block=True) as connection:
                pipe = connection.default_channel.client.pipeline(transaction=False)
                pipe.zadd(_KEY, members)
                pipe.zremrangebyscore(_KEY, "-inf", now_s - _MODEL_LASTS_S)
                pipe.expire(_KEY, _MODEL_LASTS_S)
                pipe.execute()
        except (RedisError, OSError, OperationalError):
            logger.warning("could not announce this worker's models to the other workers", exc_info=True)


def is_announced(app: Celery, task: TaskName, model: str) -> bool:
    """Whether a worker of this broker has recently announced a model for a task.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    with app.pool.acquire(block=True) as connection:
        announced_at_s = connection.default_channel.client.zscore(_KEY, _member(task, model))
    return announced_at_s is not None and time.time() - announced_at_s < _MODEL_LASTS_S


def _member(task: TaskName, model: str) -> str:
    return f"{task.value}:{model}"
