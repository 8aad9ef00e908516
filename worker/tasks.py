"""The tasks: each hands its message to the models of its process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import Celery, Task

from producer.contract import RequestError, TaskName
from worker.answering import answer
from worker.hidden_result import HiddenResult

__all__ = ["InferenceTask", "register_tasks"]


#: Tasks whose results repeat the request's text.
_QUOTING = frozenset({TaskName.ZERO_SHOT_CLASSIFICATION, TaskName.QUESTION_ANSWERING})


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
        result = answer(name, self.request, args, kwargs)
        if name in _QUOTING and not self.app.celeriac_settings.show_request_text:
            return HiddenResult(result)
        return result

    run.__name__ = run.__qualname__ = name.name.lower()
    return run
