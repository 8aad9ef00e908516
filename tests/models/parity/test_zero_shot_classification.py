"""Labels and scores are those of the ``zero-shot-classification`` pipeline of ``transformers``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from models.pipelines.base import AnyPipeline
from producer.contract import RequestError, TaskName, ZeroShotClassificationRequest
from tests.models.parity.conftest import Reference, thinned
from tests.models.parity.texts import ODD, PLAIN, seeded_random

TASK = TaskName.ZERO_SHOT_CLASSIFICATION
LABELS: list[str | list[str]] = [
    ["praise", "complaint", "news"],
    "food, travel , ,money",
    "alone",
    ["a", "b", "a"],
    ["😀", "שלום", "x y z"],
    [f"topic {number}" for number in range(8)],
]
TEMPLATES = [None, "This text is about {}.", "{}", "{0} or {0}?", "Es geht um {}", "{{}} {}"]


def cases() -> list[tuple[str, str | list[str], dict[str, Any]]]:
    """At least 300 texts, with every combination of parameters."""
    rng = seeded_random()
    everything = itertools.product(LABELS, TEMPLATES, (False, True), range(3))
    plain = [
        (rng.choice(PLAIN), labels, {"multi_label": multi, **({"hypothesis_template": template} if template else {})})
        for labels, template, multi, _ in everything
    ]
    odd = [(text, LABELS[index % 5], {"multi_label": index % 2 == 1}) for index, text in enumerate(ODD)]
    return [*plain, *odd, *((text, LABELS[0], {}) for text in PLAIN[:80])]


def test_every_text_gets_the_labels_and_scores_of_the_reference(
    exported: Callable[[str], dict[TaskName, AnyPipeline]], reference: Callable[[TaskName, str], Reference]
) -> None:
    ours, theirs = exported("nli")[TASK], reference(TASK, "nli")
    everything = cases()
    assert len(everything) >= 300
    for text, labels, parameters in thinned(everything):
        request = {"inputs": text, "candidate_labels": labels, **parameters}
        ((answer,),) = ours.answer([ZeroShotClassificationRequest.parse(request)])
        expected = theirs(text, labels, **parameters)
        assert not isinstance(answer, RequestError)
        assert answer["sequence"] == expected["sequence"]
        assert answer["scores"] == pytest.approx(expected["scores"], abs=1e-4), request
        assert in_order(answer["labels"], expected["labels"], expected["scores"]), request


def in_order(ours: list[str], theirs: list[str], scores: list[float]) -> bool:
    """Whether the order is the same, except for labels whose scores are within 1e-6."""
    starts = [0, *(i for i in range(1, len(scores)) if scores[i - 1] - scores[i] > 1e-6), len(scores)]
    return all(sorted(ours[a:b]) == sorted(theirs[a:b]) for a, b in itertools.pairwise(starts))
