"""What a model reads for its calibration: the same sequences that requests with such rows would become."""

from __future__ import annotations

from pathlib import Path

from models import pipelines
from models.engine.engine import EngineOptions, TokenSequence
from models.errors import WrongDataError
from models.evaluation.data_sets import DataSet
from models.evaluation.evaluate import requests_of
from models.pipelines.base import FlatItem
from models.store import StoredModel
from producer.contract import TaskName

__all__ = ["built_in", "calibration_sequences"]

_ROWS = Path(__file__).parent / "calibration_rows"


def built_in(task: TaskName) -> Path:
    """The rows of our own that serve where a user has none of their own; English."""
    return _ROWS / f"{task.value}.jsonl"


def calibration_sequences(model: StoredModel, data: DataSet) -> list[TokenSequence]:
    """The first sequence of each row, made by the model's own pipeline.

    Raises:
        WrongDataError: no row can be read by the model.
    """
    pipeline = pipelines.load_all(model, EngineOptions())[data.task]
    items = [item for members in pipeline.flatten(list(requests_of(data))) for item in members]
    sequences = [item.sequences[0] for item in items if isinstance(item, FlatItem)]
    if not sequences:
        raise WrongDataError(f"{data.path}: the model can read none of its rows")
    return sequences
