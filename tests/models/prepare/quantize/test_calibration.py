"""The built-in calibration rows."""

from __future__ import annotations

import pytest

from models.evaluation.data_sets import read_data_set
from models.prepare.quantize.calibration import built_in_rows
from producer.contract import TaskName


@pytest.mark.parametrize("task", TaskName)
def test_there_are_a_few_hundred_built_in_rows_for_each_task_and_none_twice(task: TaskName) -> None:
    data = read_data_set(built_in_rows(task), task, labelled=False)
    assert len(data.rows) >= 300
    assert len({tuple(row.items()) for row in data.rows}) == len(data.rows)
