"""The labels for entailment and contradiction are found by their names."""

from __future__ import annotations

from typing import Any

import pytest

from models.pipelines.classification_head import label_names
from models.pipelines.entailment import contradiction_index, entailment_index


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
    assert entailment_index(names) == entailment
    assert contradiction_index(names, entailment) == contradiction


@pytest.mark.parametrize(
    ("config", "shown"),
    [({}, "LABEL_0, LABEL_1"), ({"id2label": {"0": "NO", "1": "not_entailment"}}, "not_entailment")],
)
def test_a_model_without_a_label_for_entailment_is_refused_with_the_labels_that_it_has(
    config: dict[str, Any], shown: str
) -> None:
    with pytest.raises(ValueError, match=shown):
        entailment_index(label_names(config))
