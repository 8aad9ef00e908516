"""One module per task: requests in, results in the shape of the ``transformers`` pipelines out.

A pipeline's module, and OpenVINO with it, is imported only when a model is loaded: a worker's parent asks for tasks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from producer.contract import TaskName

if TYPE_CHECKING:
    from models.engine.engine import Engine, EngineOptions
    from models.pipelines.base import AnyPipeline
    from models.store import StoredModel

__all__ = ["load", "load_all", "tasks_of"]

_PIPELINES = {
    TaskName.TEXT_CLASSIFICATION: ("models.pipelines.text_classification", "TextClassificationPipeline"),
    TaskName.ZERO_SHOT_CLASSIFICATION: ("models.pipelines.zero_shot_classification", "ZeroShotClassificationPipeline"),
    TaskName.QUESTION_ANSWERING: ("models.pipelines.question_answering", "QuestionAnsweringPipeline"),
}
#: Further tasks of a model, by the task that it is made for: natural language inference is a classification of pairs.
_FURTHER_TASKS = {TaskName.ZERO_SHOT_CLASSIFICATION: (TaskName.TEXT_CLASSIFICATION,)}


def tasks_of(model: StoredModel) -> tuple[TaskName, ...]:
    """The tasks that a model can do, first the one that it is made for."""
    return (model.manifest.task, *_FURTHER_TASKS.get(model.manifest.task, ()))


def load(model: StoredModel, options: EngineOptions) -> AnyPipeline:
    """Load a verified model for its own task and compile it on the cores of this process.

    Raises:
        RuntimeError: OpenVINO cannot compile the model.
    """
    return _class_of(model.manifest.task)(model, options)


def load_all(model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> dict[TaskName, AnyPipeline]:
    """Load a verified model for every task that it can do. It is compiled once.

    Args:
        model: the model.
        options: how it is compiled.
        engine: the compiled model, if there is one.

    Returns:
        The pipelines by task, first that of the task that the model is made for.

    Raises:
        RuntimeError: OpenVINO cannot compile the model.
    """
    own_task, *further_tasks = tasks_of(model)
    own = _class_of(own_task)(model, options, engine)
    return {own_task: own, **{task: _class_of(task)(model, options, own.engine) for task in further_tasks}}


def _class_of(task: TaskName) -> type[AnyPipeline]:
    module, name = _PIPELINES[task]
    pipeline: type[AnyPipeline] = getattr(import_module(module), name)
    return pipeline
