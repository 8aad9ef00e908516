"""Whether a loaded model answers at all: two requests, one short and one as long as the model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from producer.contract import REQUESTS, RequestError, TaskName

if TYPE_CHECKING:
    from models.pipelines.base import AnyPipeline

__all__ = ["find_fault"]

_SHORT = "This is a good day."
_LONG = " ".join([_SHORT] * 400)
_PROBES: Mapping[TaskName, Sequence[Mapping[str, Any]]] = {
    TaskName.TEXT_CLASSIFICATION: [{"inputs": text} for text in (_SHORT, _LONG)],
    TaskName.ZERO_SHOT_CLASSIFICATION: [
        {"inputs": text, "candidate_labels": ["weather", "sport"]} for text in (_SHORT, _LONG)
    ],
    TaskName.QUESTION_ANSWERING: [{"question": "How is the day?", "context": text} for text in (_SHORT, _LONG)],
}


def find_fault(task: TaskName, pipeline: AnyPipeline) -> str | None:
    """Answer the probes of a task, and look at the numbers that the model computes for them.

    Args:
        task: the pipeline's task.
        pipeline: a loaded model; in a process that may load OpenVINO.

    Returns:
        What is wrong; None if nothing is.

    Raises:
        RuntimeError: OpenVINO failed to compute.
    """
    import numpy as np

    for arguments in _PROBES[task]:
        request = REQUESTS[task].parse(arguments)
        for item in pipeline.preprocess([request])[0]:
            if isinstance(item, RequestError):
                return f"{task.value}: a probe is refused: {item}"
            for outputs in pipeline.engine.compute(item.sequences):
                if not all(np.isfinite(output).all() for output in outputs):
                    return f"{task.value}: what the model computes is not finite"
        for result in pipeline.answer([request])[0]:
            if isinstance(result, RequestError):
                return f"{task.value}: a probe is refused: {result}"
    return None
