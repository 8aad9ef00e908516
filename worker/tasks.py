"""The tasks: each hands its message to the models of its process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import Celery, Task

from producer.contract import RequestError, TaskName
from worker.answering import answer

__all__ = ["InferenceTask", "register_tasks"]


class InferenceTask(Task):
    """A task that a model answers."""

    abstract = True
    Request = "worker.request:Request"
    #: What the contract foresees is logged without a traceback.
    throws = (RequestError,)


def register_tasks(app: Celery, tasks: Iterable[TaskName]) -> None:
    """Register the tasks that this worker serves; a message for another is moved to that task's queue."""
    for name in tasks:
        app.task(_body(name), name=name.value, bind=True, base=InferenceTask)


def _body(name: TaskName) -> Any:
    def run(self: InferenceTask, *args: Any, **kwargs: Any) -> Any:
        return answer(name, self.request, args, kwargs)

    run.__name__ = run.__qualname__ = name.name.lower()
    return run
