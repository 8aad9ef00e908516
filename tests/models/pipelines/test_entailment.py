"""The labels for entailment and contradiction are found by their names, or are the ones that are given."""

from __future__ import annotations

from typing import Any

import pytest

from models.pipelines.entailment import InferenceLabels, find_labels
from models.pipelines.labels import label_names

UNNAMED = ["LABEL_0", "LABEL_1", "LABEL_2"]


@pytest.mark.parametrize(
    ("names", "entailment", "contradiction"),
    [
        (["entailment", "neutral", "contradiction"], 0, 2),
        (["contradiction", "neutral", "entailment"], 2, 0),
        (["neutral", "entailment", "contradiction"], 1, 2),
        (["ENTAILMENT", "CONTRADICTION"], 0, 1),
        (["Entailed", "Not", "Contradicts"], 0, 2),
        (["not_entailment", "entailment"], 1, 0),
        (["entailment", "not_entailment"], 0, 1),
        (["neutral", "other", "entail"], 2, 0),
    ],
)
def test_entailment_and_contradiction_are_found_by_name_and_contradiction_else_by_its_position(
    names: list[str], entailment: int, contradiction: int
) -> None:
    assert find_labels(names) == (entailment, contradiction)


@pytest.mark.parametrize(
    ("names", "given", "found"),
    [
        (UNNAMED, InferenceLabels("LABEL_2"), (2, 0)),
        (UNNAMED, InferenceLabels("LABEL_0"), (0, 2)),
        (UNNAMED, InferenceLabels("LABEL_1", "LABEL_2"), (1, 2)),
        (["SUPPORTS", "REFUTES", "UNKNOWN"], InferenceLabels("SUPPORTS", "REFUTES"), (0, 1)),
        (["contradiction", "entailment"], InferenceLabels("contradiction", "entailment"), (0, 1)),
        (["entailment", "no", "maybe"], InferenceLabels(contradiction="no"), (0, 1)),
        (["Yes", "contradiction"], InferenceLabels("Yes"), (0, 1)),
    ],
)
def test_labels_that_are_given_go_before_their_names(
    names: list[str], given: InferenceLabels, found: tuple[int, int]
) -> None:
    assert find_labels(names, given) == found


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (InferenceLabels("label_2"), "none of the labels LABEL_0, LABEL_1, LABEL_2 is label_2"),
        (InferenceLabels("LABEL_0", "no"), "none of the labels LABEL_0, LABEL_1, LABEL_2 is no"),
        (InferenceLabels("LABEL_0", "LABEL_0"), "LABEL_0 cannot mean both"),
        (InferenceLabels(), "none of the labels LABEL_0, LABEL_1, LABEL_2 is entailment"),
    ],
)
def test_labels_that_do_not_suit_the_model_are_refused_with_those_that_it_has(
    given: InferenceLabels, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        find_labels(UNNAMED, given)


@pytest.mark.parametrize(
    ("config", "shown"),
    [({}, "LABEL_0, LABEL_1"), ({"id2label": {"0": "NO", "1": "not_entailment"}}, "not_entailment")],
)
def test_a_model_without_a_label_for_entailment_is_refused_with_the_labels_that_it_has(
    config: dict[str, Any], shown: str
) -> None:
    with pytest.raises(ValueError, match=shown):
        find_labels(label_names(config))
