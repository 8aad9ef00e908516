"""The built-in calibration rows, and which rows calibrate and which are held back."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import InvalidDataError
from models.evaluation.data_sets import DataSet, read_data_set
from models.prepare.quantize.calibration import built_in_rows, split_rows
from producer.contract import TaskName
from tests.models.conftest import Rows


def texts(rows: Rows, count: int, prefix: str = "text") -> DataSet:
    """As many different texts, each of which occurs twice with different labels."""
    written: list[dict[str, Any]] = [
        {"text": f"{prefix} {number}", "label": label} for number in range(count) for label in "ab"
    ]
    return read_data_set(rows(written), TaskName.TEXT_CLASSIFICATION, labelled=False)


def of(data: DataSet) -> set[str]:
    """The texts of a part, each of which must occur once."""
    found = [row["text"] for row in data.rows]
    assert len(set(found)) == len(found)
    return set(found)


@pytest.mark.parametrize("task", TaskName)
def test_there_are_a_few_hundred_built_in_rows_for_each_task_and_none_twice(task: TaskName) -> None:
    data = read_data_set(built_in_rows(task), task, labelled=False)
    assert len(data.rows) >= 300
    assert len({tuple(row.items()) for row in data.rows}) == len(data.rows)
    split = split_rows(data)
    assert min(len(split.calibration.rows), len(split.held_back.rows)) >= 150


@pytest.mark.parametrize(
    ("count", "calibrating", "held_back"),
    [(40, 20, 20), (41, 20, 21), (300, 150, 150), (600, 300, 300), (700, 300, 400), (2000, 300, 500)],
)
def test_half_of_the_different_rows_or_more_are_held_back(
    rows: Rows, count: int, calibrating: int, held_back: int
) -> None:
    split = split_rows(texts(rows, count))
    assert (len(of(split.calibration)), len(of(split.held_back))) == (calibrating, held_back)
    assert not of(split.calibration) & of(split.held_back)


def test_the_split_is_the_same_each_time_and_not_by_the_order_of_the_file(rows: Rows) -> None:
    data = texts(rows, 300)
    assert split_rows(data) == split_rows(data)
    # A part that followed the order would have none of the last hundred.
    assert any(row["text"] > "text 200" for row in split_rows(data).calibration.rows)
    assert any(row["text"] < "text 200" for row in split_rows(data).held_back.rows)


def test_rows_from_a_file_of_their_own_are_held_back_unless_they_are_to_calibrate_on(rows: Rows) -> None:
    data, others = texts(rows, 400), texts(rows, 30, "other")
    both = read_data_set(rows([*data.rows, *others.rows]), TaskName.TEXT_CLASSIFICATION, labelled=False)
    split = split_rows(data, both)
    assert len(of(split.calibration)) == 300
    assert of(split.held_back) == {row["text"] for row in others.rows}


@pytest.mark.parametrize("count", [1, 39])
def test_a_file_with_too_few_different_rows_is_refused(rows: Rows, count: int) -> None:
    with pytest.raises(
        InvalidDataError, match=f"has {count // 2} different rows to calibrate on; at least 20 are needed"
    ):
        split_rows(texts(rows, count))


def test_too_few_rows_to_hold_back_are_refused(rows: Rows) -> None:
    data = texts(rows, 100)
    with pytest.raises(InvalidDataError, match="has 0 different rows to hold back; at least 20 are needed"):
        split_rows(data, data)
