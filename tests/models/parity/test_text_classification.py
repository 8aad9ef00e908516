"""Labels and scores are those of the ``text-classification`` pipeline of ``transformers``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from models.pipelines.base import AnyPipeline
from producer.contract import RequestError, TaskName, TextClassificationRequest
from tests.models.parity.conftest import Reference, thinned
from tests.models.parity.texts import ODD, PLAIN, seeded_random

TASK = TaskName.TEXT_CLASSIFICATION
PARAMETERS = [
    {"top_k": top_k, **({"function_to_apply": function} if function else {})}
    for top_k, function in itertools.product((1, 2, None), (None, "sigmoid", "softmax", "none"))
]


def cases() -> list[tuple[Any, dict[str, Any]]]:
    """At least 300 texts and pairs, with every combination of parameters."""
    rng = seeded_random()
    texts = [(text, PARAMETERS[index % len(PARAMETERS)]) for index, text in enumerate(PLAIN)]
    odd = [(text, parameters) for text in ODD for parameters in PARAMETERS[::5]]
    some = [*PLAIN, *ODD]
    pairs = [({"text": rng.choice(some), "text_pair": rng.choice(some)}, {"top_k": None}) for _ in range(60)]
    return [*texts, *odd, *pairs]


@pytest.mark.parametrize(("name", "every"), [("sentiment", 1), ("nli", 4)])
def test_every_text_gets_the_labels_and_scores_of_the_reference(
    name: str,
    every: int,
    exported: Callable[[str], dict[TaskName, AnyPipeline]],
    reference: Callable[[TaskName, str], Reference],
) -> None:
    ours, theirs = exported(name)[TASK], reference(TASK, name)
    for text, parameters in thinned(cases()[::every]):
        ((answer,),) = ours.answer([TextClassificationRequest.parse({"inputs": text, **parameters})])
        expected = theirs(text, truncation=True, **parameters)
        assert not isinstance(answer, RequestError)
        assert [entry["label"] for entry in answer] == [entry["label"] for entry in expected], (text, parameters)
        scores = [entry["score"] for entry in expected]
        assert [entry["score"] for entry in answer] == pytest.approx(scores, abs=1e-4), (text, parameters)
