"""One file a task: requests in, answers in the shape of the ``transformers`` pipelines out.

A pipeline's module is imported when it is loaded, and with it OpenVINO: a worker's parent asks which tasks exist.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from producer.contract import TaskName

if TYPE_CHECKING:
    from models.engine.engine import EngineOptions
    from models.pipelines.base import AnyPipeline
    from models.store import StoredModel

__all__ = ["load", "load_all", "tasks_of"]

_PIPELINES = {
    TaskName.TEXT_CLASSIFICATION: ("models.pipelines.text_classification", "TextClassificationPipeline"),
    TaskName.ZERO_SHOT_CLASSIFICATION: ("models.pipelines.zero_shot_classification", "ZeroShotClassificationPipeline"),
    TaskName.QUESTION_ANSWERING: ("models.pipelines.question_answering", "QuestionAnsweringPipeline"),
}
#: The tasks that a model for a task can do beside it: natural language inference is a classification of pairs.
_BESIDE = {TaskName.ZERO_SHOT_CLASSIFICATION: (TaskName.TEXT_CLASSIFICATION,)}


def tasks_of(model: StoredModel) -> tuple[TaskName, ...]:
    """The tasks that a model can do: the one that it is made for, then those beside it."""
    return (model.manifest.task, *_BESIDE.get(model.manifest.task, ()))


def load(model: StoredModel, options: EngineOptions) -> AnyPipeline:
    """Load a verified model for its task and compile it on the cores of this process.

    Raises:
        RuntimeError: OpenVINO could not compile it.
    """
    return _class_of(model.manifest.task)(model, options)


def load_all(model: StoredModel, options: EngineOptions) -> dict[TaskName, AnyPipeline]:
    """Load a verified model for every task that it can do; it is compiled once.

    Raises:
        RuntimeError: OpenVINO could not compile it.
    """
    task = model.manifest.task
    first = load(model, options)
    beside = {other: _class_of(other)(model, options, first.engine) for other in tasks_of(model)[1:]}
    return {task: first, **beside}


def _class_of(task: TaskName) -> type[AnyPipeline]:
    module, name = _PIPELINES[task]
    pipeline: type[AnyPipeline] = getattr(import_module(module), name)
    return pipeline
