"""Which requests this worker can answer, and which workers of this Redis can answer the others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from models.pipelines import tasks_of
from models.store import StoredModel
from models.store.names import MAX_NAME_CHARACTERS
from producer.contract import TaskName, class_of_queue, model_queue_name, queue_name
from worker.inference.arguments import arguments_by_name

__all__ = ["ModelAnnouncer", "Served", "is_announced", "queue_elsewhere"]

logger = logging.getLogger(__name__)

_KEY = "celeriac.models"
#: A model that no worker has had for so long is unknown; a worker that is replaced takes less.
_KNOWN_S = 600
_ANNOUNCE_S = 30.0


@dataclass(frozen=True)
class Served:
    """The models of this worker, in the order of the setting."""

    models: Sequence[StoredModel]

    @cached_property
    def own_tasks(self) -> list[TaskName]:
        """The tasks that a model is made for: their queues are consumed."""
        return sorted({model.manifest.task for model in self.models})

    @cached_property
    def tasks(self) -> list[TaskName]:
        """The tasks that a model can do, some of them only when it is named."""
        return sorted({task for model in self.models for task in tasks_of(model)})

    @cached_property
    def names(self) -> list[str]:
        """The models' names, each once."""
        return list(dict.fromkeys(model.name for model in self.models))

    def has(self, task: TaskName, model: str | None) -> bool:
        """Whether a request for ``task`` that names ``model``, or none, can be answered here."""
        return (task, model) in self._answered

    @cached_property
    def _answered(self) -> frozenset[tuple[TaskName, str | None]]:
        """Asked for every message: by task, the models that may be named, and None where none need be."""
        named = {(task, model.name) for model in self.models for task in tasks_of(model)}
        return frozenset(named | {(task, None) for task in self.own_tasks})


def queue_elsewhere(message: Any, served: Served, is_known: Callable[[TaskName, str], bool]) -> str | None:
    """The queue of the workers that can answer a message which this one cannot; None where it stays here.

    Args:
        message: that Celery can be trusted with.
        served: by this worker.
        is_known: whether another worker has a model.
    """
    try:
        task = TaskName(message.headers["task"])
    except ValueError:
        return None
    args, kwargs, _ = message.payload
    model = arguments_by_name(task, args, kwargs).get("model")
    if task not in served.tasks or not _may_be_named(model) or served.has(task, model):
        return None
    came_from = message.delivery_info.get("routing_key")
    queue_class = class_of_queue(came_from)
    queue = queue_name(task, queue_class) if model is None else model_queue_name(model, queue_class)
    # Consumed by a worker that was told to with -Q: it must not move the message to itself.
    if queue == came_from or (model is not None and not is_known(task, model)):
        return None
    return queue


def _may_be_named(model: Any) -> bool:
    return model is None or (isinstance(model, str) and len(model) <= MAX_NAME_CHARACTERS)


class ModelAnnouncer(bootsteps.StartStopStep):
    """Tells other workers, again and again, which models this one has; forgotten ten minutes after the last time."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._timer: Any = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Begin, whenever the worker begins to consume."""
        self._announce(consumer)
        self._timer = consumer.timer.call_repeatedly(_ANNOUNCE_S, self._announce, (consumer,))

    def stop(self, _consumer: Any) -> None:
        """The connection is gone, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _announce(self, consumer: Any) -> None:
        served: Served = consumer.app.celeriac_served
        now_s = time.time()
        known = {
            _member(task, model.name): now_s
            for model in served.models
            for task in tasks_of(model)
            # Of a worker that was told its queues with -Q nobody can have what is not among them.
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
            logger.warning("other workers could not be told of this one's models", exc_info=True)


def is_announced(app: Any, task: TaskName, model: str) -> bool:
    """Whether a worker of this Redis has said lately that it has this model.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    with app.pool.acquire(block=True) as connection:
        seen_s = connection.default_channel.client.zscore(_KEY, _member(task, model))
    return seen_s is not None and time.time() - seen_s < _KNOWN_S


def _member(task: TaskName, model: str) -> str:
    return f"{task.value}:{model}"
