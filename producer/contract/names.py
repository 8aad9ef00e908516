"""The names that both sides must agree on: tasks, queues, and the version of the contract."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CONTRACT_VERSION",
    "DEFAULT_QUEUE",
    "SENT_AT_HEADER",
    "SUPPORTED_VERSIONS",
    "VERSION_HEADER",
    "QueueClass",
    "TaskName",
    "class_of_queue",
    "is_bulk",
    "is_contract_queue",
    "model_queue_name",
    "queue_name",
]

#: Version of this contract; a worker of version N also answers N-1, so that deployments can roll.
CONTRACT_VERSION = 1
SUPPORTED_VERSIONS = frozenset({CONTRACT_VERSION - 1, CONTRACT_VERSION} - {0})
#: Message header that carries the version; a message without it is taken to be of the current version.
VERSION_HEADER = "celeriac_contract_version"
#: Message header with the moment of sending, in seconds since 1970; workers measure waiting times from it.
SENT_AT_HEADER = "celeriac_sent_at"

#: Celery's own default queue: where a stock producer's message lands when it names no queue.
DEFAULT_QUEUE = "celery"


class TaskName(StrEnum):
    """The three tasks, by their pipeline tag."""

    TEXT_CLASSIFICATION = "text-classification"
    ZERO_SHOT_CLASSIFICATION = "zero-shot-classification"
    QUESTION_ANSWERING = "question-answering"


class QueueClass(StrEnum):
    """Which of a task's two queues: interactive requests go before bulk ones."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


def queue_name(task: TaskName, queue_class: QueueClass = QueueClass.INTERACTIVE) -> str:
    """Name of the Redis list of a task: ``text-classification`` or ``text-classification.bulk``."""
    return task.value if queue_class is QueueClass.INTERACTIVE else f"{task.value}.bulk"


def model_queue_name(model: str, queue_class: QueueClass = QueueClass.INTERACTIVE) -> str:
    """Name of the Redis list of the requests that must go to one model: ``model:qa`` or ``model.bulk:qa``.

    A producer need not use it: a worker that lacks the model which a request names moves the request there.
    """
    return f"{_MODEL_PREFIXES[queue_class]}{model}"


def class_of_queue(name: str | None) -> QueueClass:
    """Which class of requests a queue of any name holds."""
    is_of_model = (name or "").startswith(_MODEL_PREFIXES[QueueClass.BULK])
    return QueueClass.BULK if name in _BULK_QUEUES or is_of_model else QueueClass.INTERACTIVE


def is_bulk(queue: str | None) -> bool:
    """Whether the requests in a queue may wait for interactive ones."""
    return class_of_queue(queue) is QueueClass.BULK


def is_contract_queue(queue: str) -> bool:
    """Whether a queue is one of a task or of a model; Celery's default queue is neither."""
    return queue in _TASK_QUEUES or queue.startswith(tuple(_MODEL_PREFIXES.values()))


_MODEL_PREFIXES = {QueueClass.INTERACTIVE: "model:", QueueClass.BULK: "model.bulk:"}
_BULK_QUEUES = frozenset(queue_name(task, QueueClass.BULK) for task in TaskName)
_TASK_QUEUES = frozenset(queue_name(task, queue_class) for task in TaskName for queue_class in QueueClass)
