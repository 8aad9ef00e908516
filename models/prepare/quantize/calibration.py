"""What a model reads for its calibration: the sequences that requests with the calibration rows would become."""

from __future__ import annotations

from pathlib import Path

from models import pipelines
from models.engine.engine import EngineOptions, TokenSequence
from models.errors import InvalidDataError
from models.evaluation.data_sets import DataSet
from models.pipelines.base import EncodedItem
from models.store import StoredModel
from producer.contract import TaskName

__all__ = ["built_in_rows", "calibration_sequences"]

_ROWS = Path(__file__).parent / "calibration_rows"


def built_in_rows(task: TaskName) -> Path:
    """The file of built-in calibration rows for a task, in English."""
    return _ROWS / f"{task.value}.jsonl"


def calibration_sequences(model: StoredModel, data: DataSet, options: EngineOptions) -> list[TokenSequence]:
    """The first sequence of each row, as the model's pipeline tokenizes it.

    Args:
        model: the FP32 model.
        data: the calibration rows.
        options: how the pipeline is loaded.

    Raises:
        InvalidDataError: the model cannot read any of the rows.
    """
    pipeline = pipelines.load_all(model, options)[data.task]
    items = [item for items in pipeline.preprocess(list(data.requests())) for item in items]
    sequences = [item.sequences[0] for item in items if isinstance(item, EncodedItem)]
    if not sequences:
        raise InvalidDataError(f"{data.path}: the model cannot read any of the rows")
    return sequences
