"""Each case of the table is prepared and answers as ``transformers`` does on the same files."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.prepare.check.comparison import TOLERANCE
from producer.contract import TaskName
from tests.models.prepare.families.cases import SERVED
from tests.models.prepare.families.checkpoints import Head, Recipe, write_checkpoint
from tests.models.prepare.families.conftest import prepare_in_fp32

pytestmark = pytest.mark.prepare
#: A model whose answers hardly differ would equal any other.
_LEAST_RANGE = 0.05
_UNNAMED = {"entailment": "LABEL_0", "contradiction": "LABEL_2"}


@pytest.mark.parametrize("name", SERVED)
def test_a_family_is_prepared_and_answers_as_transformers_does(tmp_path: Path, name: str) -> None:
    recipe = SERVED[name]
    write_checkpoint(tmp_path / name, recipe)
    given = _UNNAMED if recipe.head is Head.NLI_UNNAMED else {}
    model = prepare_in_fp32(tmp_path / name, tmp_path / "served", **given)
    seen = model.manifest.check
    assert seen is not None
    assert seen.reference.startswith("transformers")
    assert seen.largest_score_difference <= TOLERANCE
    assert seen.score_range > _LEAST_RANGE
    assert model.manifest.task is _task_of(recipe)


def _task_of(recipe: Recipe) -> TaskName:
    if recipe.head is Head.QUESTIONS:
        return TaskName.QUESTION_ANSWERING
    is_inference = recipe.head.name.startswith("NLI")
    return TaskName.ZERO_SHOT_CLASSIFICATION if is_inference else TaskName.TEXT_CLASSIFICATION
