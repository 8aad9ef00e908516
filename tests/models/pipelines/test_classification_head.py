"""From a classification head's logits to scores: labels, outputs and functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.pipelines.base import AnyPipeline
from models.pipelines.classification_head import SCORE_FUNCTIONS, logits_index, softmax, stack_logits
from models.pipelines.labels import label_names
from models.pipelines.text_classification import TextClassificationPipeline, _default_function
from models.store import StoredModel
from producer.contract import TextClassificationRequest
from tests.models.conftest import with_config
from tests.models.options import engine_options

SIGMOID, NONE = SCORE_FUNCTIONS["sigmoid"], SCORE_FUNCTIONS["none"]
ROWS = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8)


@pytest.mark.parametrize(("logit", "score"), [(-1e4, 0.0), (-800.0, 0.0), (0.0, 0.5), (800.0, 1.0), (1e4, 1.0)])
def test_the_sigmoid_of_a_large_logit_is_one_or_zero_and_does_not_overflow(logit: float, score: float) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert SIGMOID(np.array([[logit]])).tolist() == [[score]]


@given(st.floats(-700, 700))
def test_the_sigmoid_is_that_of_the_textbook_where_that_can_be_computed(logit: float) -> None:
    (score,) = SIGMOID(np.array([logit]))
    assert score == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("logits", "scores"),
    [
        ([1e4, 1e4], [0.5, 0.5]),
        ([-1e4, -1e4, -1e4, -1e4], [0.25] * 4),
        ([1e4, -1e4], [1.0, 0.0]),
        ([-1e4, 0.0, 1e4], [0.0, 0.0, 1.0]),
        ([7.0], [1.0]),
    ],
)
def test_the_softmax_of_large_logits_does_not_overflow(logits: list[float], scores: list[float]) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert softmax(np.array(logits)).tolist() == scores


@given(ROWS, st.floats(-1e3, 1e3))
def test_the_softmax_sums_to_one_and_is_the_same_for_logits_that_are_all_higher(row: list[float], by: float) -> None:
    scores = softmax(np.array(row))
    assert scores.sum() == pytest.approx(1.0)
    assert softmax(np.array(row) + by) == pytest.approx(scores, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=5))
def test_the_softmax_is_taken_row_by_row(rows: list[tuple[float, float]]) -> None:
    together = softmax(np.array(rows))
    assert together == pytest.approx(np.array([np.exp(row) / np.exp(row).sum() for row in rows]))


@given(ROWS)
def test_without_a_function_the_logits_are_the_scores(row: list[float]) -> None:
    assert NONE(np.array([row])).tolist() == [row]


def test_labels_are_named_by_their_index_and_not_in_the_order_of_the_file() -> None:
    names = [f"name {index}" for index in range(12)]
    shuffled = {str(index): names[index] for index in (11, 2, 0, 10, 1, 9, 3, 8, 4, 7, 5, 6)}
    assert label_names({"id2label": shuffled, "num_labels": 3}) == names


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({}, 2),
        ({"num_labels": 3}, 3),
        ({"num_labels": 1}, 1),
        ({"id2label": {}, "num_labels": 4}, 4),
        ({"id2label": None}, 2),
    ],
)
def test_labels_without_names_are_numbered(config: dict[str, Any], count: int) -> None:
    assert label_names(config) == [f"LABEL_{index}" for index in range(count)]


def test_a_label_that_is_no_text_is_named_as_text() -> None:
    assert label_names({"id2label": {"0": 1, "1": 2}}) == ["1", "2"]


@pytest.mark.parametrize(
    ("names", "index"),
    [(["logits"], 0), (["pooled", "logits"], 1), (["logits", "hidden_states"], 0), (["output_0"], 0), (["", ""], 0)],
)
def test_the_logits_are_the_output_of_that_name_or_else_the_first(names: list[str], index: int) -> None:
    assert logits_index(names) == index


def test_logits_of_all_sequences_of_all_items_are_stacked_in_their_order() -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    other = np.zeros((5, 2), np.float32)
    sequences = [(other, row) for row in values]
    stacked = stack_logits([sequences[:1], [], sequences[1:]], 1)
    assert stacked.tolist() == values.tolist()
    assert stacked.dtype == np.float64


@pytest.mark.parametrize(
    ("config", "labels", "function"),
    [
        ({}, 1, "sigmoid"),
        ({}, 2, "softmax"),
        ({}, 5, "softmax"),
        ({"problem_type": None}, 2, "softmax"),
        ({"problem_type": "multi_label_classification"}, 2, "sigmoid"),
        ({"problem_type": "single_label_classification"}, 2, "softmax"),
        ({"problem_type": "single_label_classification"}, 1, "sigmoid"),
        ({"problem_type": "regression"}, 1, "none"),
        ({"problem_type": "regression"}, 3, "none"),
    ],
)
def test_the_default_function_is_the_one_that_the_head_calls_for(
    config: dict[str, Any], labels: int, function: str
) -> None:
    assert _default_function(config, labels) == function


@pytest.mark.parametrize(
    ("problem", "function"), [("regression", "none"), ("multi_label_classification", "sigmoid"), (None, "softmax")]
)
def test_a_model_scores_by_the_problem_type_of_its_configuration(
    sentiment: StoredModel, pipeline: AnyPipeline, tmp_path: Path, problem: str | None, function: str
) -> None:
    model = with_config(sentiment, tmp_path, problem_type=problem)
    configured = TextClassificationPipeline(model, engine_options(), pipeline.engine)

    def scored(**arguments: Any) -> Any:
        return configured.answer([TextClassificationRequest.parse({"inputs": "so good", "top_k": None, **arguments})])

    assert [name for name in SCORE_FUNCTIONS if scored(function_to_apply=name) == scored()] == [function]
