"""The names that producer and worker must agree on: tasks and queues; and the version of the contract."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CONTRACT_VERSION",
    "DEFAULT_QUEUE",
    "SUPPORTED_VERSIONS",
    "QueueClass",
    "TaskName",
    "class_of_queue",
    "is_bulk",
    "is_contract_queue",
    "model_queue_name",
    "queue_name",
]

#: Version of this contract. A worker of version N also answers version N-1, so that a rolling deployment works.
CONTRACT_VERSION = 1
SUPPORTED_VERSIONS = frozenset({CONTRACT_VERSION - 1, CONTRACT_VERSION} - {0})

#: Celery's default queue: a plain Celery client sends here when it names no queue.
DEFAULT_QUEUE = "celery"


class TaskName(StrEnum):
    """The tasks, named by their pipeline tags on the Hugging Face hub."""

    TEXT_CLASSIFICATION = "text-classification"
    ZERO_SHOT_CLASSIFICATION = "zero-shot-classification"
    QUESTION_ANSWERING = "question-answering"


class QueueClass(StrEnum):
    """Which of a task's two queues a request goes to; interactive requests are served before bulk requests."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


def queue_name(task: TaskName, queue_class: QueueClass = QueueClass.INTERACTIVE) -> str:
    """The Redis list of a task: ``text-classification`` or ``text-classification.bulk``."""
    return task.value if queue_class is QueueClass.INTERACTIVE else f"{task.value}.bulk"


def model_queue_name(model: str, queue_class: QueueClass = QueueClass.INTERACTIVE) -> str:
    """The Redis list of requests for one model: ``model:qa`` or ``model.bulk:qa``.

    Producers do not need it: a worker that does not serve the model named in a request moves the request there.
    """
    return f"{_MODEL_PREFIXES[queue_class]}{model}"


def class_of_queue(name: str | None) -> QueueClass:
    """The class of requests in a queue; interactive for a queue that is not in the contract."""
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
