"""How far answers are from others, on numbers that were worked out by hand, and on a bundled model."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from models import pipelines
from models.errors import InvalidDataError
from models.evaluation.data_sets import read_data_set
from models.pipelines.base import AnyPipeline
from models.prepare.quantize.calibration import built_in_rows
from models.prepare.quantize.distance import Answers, default_limit, measure_distance, read_answers
from models.store import StoredModel
from producer.contract import TaskName, TextClassificationRequest
from tests.models.conftest import Rows, with_config
from tests.models.options import engine_options

TEXTS = ["A delight.", "A long and tedious film that I would not see again.", "It is what it is."]


def answers(
    scores: list[list[float]], spans: list[tuple[int, int]] | None = None, *, are_values: bool = False
) -> Answers:
    """Answers whose logits are ten times the scores."""
    rows = [np.array(row) for row in scores]
    return Answers([row * 10 for row in rows], rows, spans, are_values)


def test_a_row_counts_with_its_largest_change_of_a_score() -> None:
    originals = answers([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]])
    found = measure_distance(answers([[0.4, 0.35, 0.25], [0.9, 0.08, 0.02]]), originals)
    assert (found.rows, found.other_spans) == (2, None)
    assert found.mean == found.value == pytest.approx((0.1 + 0.02) / 2)
    assert found.largest == pytest.approx(0.1)
    assert found.p999 == pytest.approx(0.02 + 0.999 * 0.08)
    assert found.logits == pytest.approx((2 / 3 + 0.4 / 3) / 2)


def test_equal_answers_have_no_distance() -> None:
    originals = answers([[0.5, 0.5]], spans=[(1, 4)])
    found = measure_distance(originals, originals)
    assert (found.mean, found.largest, found.logits, found.other_spans) == (0.0, 0.0, 0.0, 0.0)
    assert found.to_record().equal_spans == 1.0


def test_values_of_regression_count_in_multiples_of_their_range() -> None:
    originals = answers([[-50.0, 7.0], [150.0, 7.0]], are_values=True)
    found = measure_distance(answers([[-49.0, 7.0], [150.0, 7.01]], are_values=True), originals)
    assert found.largest == pytest.approx(0.01)
    assert found.mean == pytest.approx((0.005 + 0.01) / 2)


def test_rows_with_another_span_are_counted() -> None:
    originals = answers([[0.5]] * 4, spans=[(0, 3), (5, 9), (2, 4), (0, 0)])
    found = measure_distance(answers([[0.4]] * 4, spans=[(0, 3), (5, 8), (2, 4), (0, 0)]), originals)
    assert found.other_spans == found.value == 0.25
    assert found.to_record().equal_spans == 0.75
    assert found.mean == pytest.approx(0.1)


def test_a_limit_as_written_includes_a_share_that_equals_it() -> None:
    spans = [(index, index + 1) for index in range(500)]
    originals = answers([[0.5]] * 500, spans=spans)
    found = measure_distance(answers([[0.5]] * 500, spans=[(0, 9)] * 15 + spans[15:]), originals)
    assert found.value <= default_limit(TaskName.QUESTION_ANSWERING)


@pytest.mark.parametrize("task", TaskName)
def test_answers_are_those_of_the_pipeline_for_every_task(
    task: TaskName, pipeline: AnyPipeline, inference: dict[TaskName, AnyPipeline], questions: AnyPipeline
) -> None:
    data = read_data_set(built_in_rows(task), task, labelled=False, limit=8)
    loaded = {
        TaskName.TEXT_CLASSIFICATION: pipeline,
        TaskName.ZERO_SHOT_CLASSIFICATION: inference[TaskName.TEXT_CLASSIFICATION],
        TaskName.QUESTION_ANSWERING: questions,
    }[task]
    found = read_answers(loaded, data)
    (request,) = data.requests()
    if isinstance(request, TextClassificationRequest):
        request = request.model_copy(update={"top_k": None})
    served: list[Any]
    (served,) = loaded.answer([request])
    if task is TaskName.QUESTION_ANSWERING:
        assert found.spans == [(answer["start"], answer["end"]) for answer in served]
        # The starts and the ends of one window, each of which sum up to 1.
        assert all(math.isclose(scores.sum(), 2.0, rel_tol=1e-5) for scores in found.scores)
    else:
        scores = [sorted(entry["score"] for entry in answer) for answer in served]
        np.testing.assert_allclose([sorted(row) for row in found.scores], scores)
        assert found.spans is None


@pytest.mark.parametrize(
    ("problem_type", "are_values"),
    [("regression", True), ("multi_label_classification", False)],
)
def test_the_score_function_is_the_one_that_the_head_calls_for(
    sentiment: StoredModel, tmp_path_factory: pytest.TempPathFactory, rows: Rows, problem_type: str, are_values: bool
) -> None:
    model = with_config(sentiment, tmp_path_factory.mktemp("model"), problem_type=problem_type)
    data = read_data_set(rows({"text": text} for text in TEXTS), TaskName.TEXT_CLASSIFICATION, labelled=False)
    found = read_answers(pipelines.load(model, engine_options()), data)
    wanted = found.logits if are_values else [1 / (1 + np.exp(-logits)) for logits in found.logits]
    assert found.are_values is are_values
    for scores, row in zip(found.scores, wanted, strict=True):
        np.testing.assert_allclose(scores, row)


def test_questions_that_the_model_cannot_read_are_left_out(questions: AnyPipeline, rows: Rows) -> None:
    unreadable = {"question": "what is it? " * 400, "context": "It is a film. " * 100}
    readable = {"question": "What is it?", "context": "It is a film."}
    data = read_data_set(rows([unreadable, readable]), TaskName.QUESTION_ANSWERING, labelled=False)
    assert len(read_answers(questions, data).scores) == 1
    alone = read_data_set(rows([unreadable]), TaskName.QUESTION_ANSWERING, labelled=False)
    with pytest.raises(InvalidDataError, match="cannot read any of the rows"):
        read_answers(questions, alone)


def test_the_record_is_json_that_has_few_digits() -> None:
    record = measure_distance(answers([[1 / 3, 2 / 3]]), answers([[0.3, 0.7]])).to_record()
    assert json.loads(record.model_dump_json())["mean"] == 0.03333
