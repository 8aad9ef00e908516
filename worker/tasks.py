"""The Celery tasks, which pass the requests of a batch to the models of their process."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from celery import Celery

from models.engine.usage import Usage
from producer.contract import RequestError, TaskName, sending_of
from worker.inference.answering import answer
from worker.inference.arguments import arguments_by_name, named_model
from worker.inference.hidden_result import HiddenResult
from worker.inference.request_cost import estimate_tokens
from worker.pool import BatchTask, Call, TaskResult
from worker.runtime import WorkerRuntime, runtime_of

__all__ = ["InferenceTask", "register_tasks"]


#: Tasks whose results contain text of the request.
_QUOTING = frozenset({TaskName.ZERO_SHOT_CLASSIFICATION, TaskName.QUESTION_ANSWERING})


class InferenceTask(BatchTask):
    """A task that models answer."""

    abstract = True
    Request = "worker.intake.request:WorkerRequest"
    #: Celery logs these errors without a traceback.
    throws = (RequestError,)
    #: The name of the task in the contract.
    task_name: TaskName

    def compute(self, calls: Sequence[Call]) -> list[TaskResult]:
        """See :meth:`BatchTask.compute`."""
        settings = self._runtime.settings
        pipelines = self._runtime.loaded_models().pipelines[self.task_name]
        answers = answer(self.task_name, calls, pipelines, count_tokens=settings.sentry.dsn is not None)
        if self.task_name in _QUOTING and not settings.show_request_text:
            return [_hide(result) for result in answers]
        return answers

    def take_usage(self) -> Usage:
        """Return what the models of this process have computed since the last call."""
        return self._runtime.loaded_models().take_usage()

    def batch_key(self, call: Call) -> Hashable:
        """The model that a request names; None for the default model of the task."""
        model = named_model(self.task_name, call.args, call.kwargs)
        return model if isinstance(model, str) else None

    def batch_cost(self, call: Call, body_bytes: int) -> int:
        """The estimated number of tokens of a request."""
        return estimate_tokens(arguments_by_name(self.task_name, call.args, call.kwargs), body_bytes)

    def sending_of(self, headers: Mapping[str, Any], tag: str) -> str | None:
        """As its sender says; a retry is a message of its own with the same id."""
        return None if headers.get("retries") else sending_of(headers, tag)

    @property
    def _runtime(self) -> WorkerRuntime:
        return runtime_of(self.app)


def register_tasks(app: Celery, tasks: Iterable[TaskName]) -> None:
    """Register the tasks that this worker serves. Messages for other tasks are moved to the queues of those tasks."""
    for name in tasks:
        kind = type(name.name.title().replace("_", ""), (InferenceTask,), {"name": name.value, "task_name": name})
        app.register_task(kind())


def _hide(answer: TaskResult) -> TaskResult:
    if answer.error is not None:
        return answer
    return TaskResult(HiddenResult(answer.value), context=answer.context)
