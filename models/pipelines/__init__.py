"""One file a task: requests in, answers in the shape of the ``transformers`` pipelines out.

A pipeline's module is imported when it is loaded, and with it OpenVINO: a worker's parent asks which tasks exist.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from producer.contract import TaskName

if TYPE_CHECKING:
    from models.engine import EngineOptions
    from models.pipelines.base import Pipeline
    from models.store import StoredModel

__all__ = ["PIPELINE_TASKS", "load"]

_PIPELINES = {
    TaskName.TEXT_CLASSIFICATION: ("models.pipelines.text_classification", "TextClassificationPipeline"),
}
#: The tasks that a model can be served for.
PIPELINE_TASKS = frozenset(_PIPELINES)


def load(model: StoredModel, options: EngineOptions) -> Pipeline:
    """Load a verified model and compile it on the cores of this process.

    Raises:
        KeyError: no pipeline exists for its task.
        RuntimeError: OpenVINO could not compile it.
    """
    module, name = _PIPELINES[model.manifest.task]
    pipeline: type[Pipeline] = getattr(import_module(module), name)
    return pipeline(model, options)
