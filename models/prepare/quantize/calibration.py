"""Rows to calibrate on and rows held back, and the sequences that requests with them would become."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.engine.engine import TokenSequence
from models.errors import InvalidDataError
from models.evaluation.data_sets import DataSet, Row
from models.pipelines.base import AnyPipeline, EncodedItem
from producer.contract import TaskName

__all__ = ["RowSplit", "built_in_rows", "calibration_sequences", "split_rows"]

_ROWS = Path(__file__).parent / "calibration_rows"
#: With fewer different rows a model is calibrated on chance, and so is its distance.
_FEWEST_ROWS = 20
_MOST_CALIBRATION_ROWS = 300
_MOST_HELD_BACK_ROWS = 500
_SEED = 14
#: Rows by the columns that a request needs.
Rows = dict[tuple[Any, ...], Row]


@dataclass(frozen=True)
class RowSplit:
    """Rows in two parts that share no row.

    Attributes:
        calibration: what a model is calibrated on.
        held_back: what the distance from the model before quantization is measured on.
    """

    calibration: DataSet
    held_back: DataSet


def built_in_rows(task: TaskName) -> Path:
    """The file of built-in calibration rows for a task, in English."""
    return _ROWS / f"{task.value}.jsonl"


def split_rows(data: DataSet, held_back: DataSet | None = None) -> RowSplit:
    """Choose the rows to calibrate on, up to 300, and those to hold back, up to 500.

    Which ones is chosen at random, since files may be sorted, but always in the same way. Of rows that say the same,
    only the first counts.

    Args:
        data: rows to calibrate on. Without ``held_back``, half of them or more are held back.
        held_back: rows to hold back; those that are also in ``data`` are left out.

    Raises:
        InvalidDataError: a file has too few different rows.
    """
    ours = _different_rows(data)
    calibrating = _chosen(ours, len(ours) if held_back else len(ours) // 2, _MOST_CALIBRATION_ROWS)
    source = held_back or data
    # With a file of its own, what is not used to calibrate is not held back either.
    taken = ours if held_back else calibrating
    others = {key: row for key, row in _different_rows(source).items() if key not in taken}
    held = _chosen(others, len(others), _MOST_HELD_BACK_ROWS)
    for path, rows, purpose in ((data.path, calibrating, "to calibrate on"), (source.path, held, "to hold back")):
        if len(rows) < _FEWEST_ROWS:
            raise InvalidDataError(
                f"{path} has {len(rows)} different rows {purpose}; at least {_FEWEST_ROWS} are needed. Without "
                "--held-back, half of the calibration rows or more are held back"
            )
    return RowSplit(replace(data, rows=list(calibrating.values())), replace(source, rows=list(held.values())))


def _different_rows(data: DataSet) -> Rows:
    """The rows by what a request has of them."""
    different: Rows = {}
    for row in data.rows:
        different.setdefault(tuple(row[name] for name in data.inputs), row)
    return different


def _chosen(rows: Rows, count: int, most: int) -> Rows:
    keys = list(rows)
    order = np.random.default_rng(_SEED).permutation(len(keys))
    return {keys[index]: rows[keys[index]] for index in order[: min(count, most)]}


def calibration_sequences(pipeline: AnyPipeline, data: DataSet) -> list[TokenSequence]:
    """The first sequence of each row, as the model's pipeline tokenizes it.

    Args:
        pipeline: the FP32 model, loaded for the task of the rows.
        data: the calibration rows.

    Raises:
        InvalidDataError: the model cannot read any of the rows.
    """
    items = [item for items in pipeline.preprocess(list(data.requests())) for item in items]
    sequences = [item.sequences[0] for item in items if isinstance(item, EncodedItem)]
    if not sequences:
        raise InvalidDataError(f"{data.path}: the model cannot read any of the rows")
    return sequences
