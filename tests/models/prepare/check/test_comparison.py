"""Which results count as equal."""

from __future__ import annotations

from typing import Any

import pytest

from models.prepare.check.comparison import result_distance
from producer.contract import AnswerSpan, LabelScore


def labels(**scores: float) -> list[LabelScore]:
    return [{"label": name, "score": score} for name, score in scores.items()]


def span(start: int, end: int, score: float) -> AnswerSpan:
    return {"score": score, "start": start, "end": end, "answer": "x" * (end - start)}


ONE, TWO, THREE = span(0, 3, 0.5), span(4, 6, 0.2), span(7, 9, 0.1)
ZERO_SHOT = {"sequence": "a", "labels": ["food", "film"], "scores": [0.7, 0.3]}


@pytest.mark.parametrize(
    ("result", "expected", "is_small"),
    [
        (labels(A=0.9, B=0.1), labels(A=0.9, B=0.1), True),
        (labels(A=0.9005, B=0.0995), labels(A=0.9, B=0.1), True),
        (labels(A=0.902, B=0.098), labels(A=0.9, B=0.1), False),
        (labels(B=0.9, A=0.1), labels(A=0.9, B=0.1), False),
        (labels(A=0.9, C=0.1), labels(A=0.9, B=0.1), False),
        # A tie may be broken either way.
        (labels(B=0.5, A=0.5), labels(A=0.5, B=0.5), True),
        # Logits, relative to the largest of them.
        (labels(A=20.01, B=-5.0), labels(A=20.0, B=-5.0), True),
        (labels(A=20.1, B=-5.0), labels(A=20.0, B=-5.0), False),
        (ZERO_SHOT, ZERO_SHOT, True),
        ({**ZERO_SHOT, "scores": [0.71, 0.29]}, ZERO_SHOT, False),
        ({**ZERO_SHOT, "labels": ["film", "food"]}, ZERO_SHOT, False),
        (ONE, ONE, True),
        (span(0, 4, 0.5), ONE, False),
        ([ONE, TWO], [ONE, TWO], True),
        ([TWO, ONE], [ONE, TWO], False),
        ([ONE, THREE], [ONE, TWO], False),
        ([ONE, span(1, 2, 0.2)], [ONE, TWO], False),
        ([ONE], [ONE, TWO], False),
    ],
)
def test_results_count_as_equal_if_names_are_the_same_and_scores_nearly(
    result: Any, expected: Any, is_small: bool
) -> None:
    assert result_distance(result, expected).is_small == is_small
