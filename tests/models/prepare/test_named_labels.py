"""A model for natural language inference whose labels say nothing is prepared with the options that name them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models import pipelines
from models.pipelines.classification_head import softmax
from models.store import find
from producer.contract import TaskName, TextClassificationRequest, ZeroShotClassificationRequest
from tests.models.options import engine_options
from tests.models.prepare.conftest import Prepare
from tests.models.tiny_checkpoint import write_checkpoint

pytestmark = pytest.mark.prepare
LABELS = ["LABEL_0", "LABEL_1", "LABEL_2"]
TEXT, HYPOTHESIS = "the film was good .", "it is good ."


@pytest.mark.usefixtures("repositories")
def test_the_labels_that_are_named_are_those_that_zero_shot_classification_reads(
    tmp_path: Path, prepare: Prepare
) -> None:
    write_checkpoint(tmp_path / "tiny", LABELS)
    options = ["--entailment", "LABEL_2", "--contradiction", "LABEL_1", "--max-distance", "1"]
    status, message = prepare(tmp_path / "tiny", "--as", "mine", *options)
    assert status == 0, message
    model = find("mine", tmp_path / "models")
    assert (model.manifest.entailment_label, model.manifest.contradiction_label) == ("LABEL_2", "LABEL_1")
    loaded = pipelines.load_all(model, engine_options())
    pair = TextClassificationRequest.parse(
        {"inputs": {"text": TEXT, "text_pair": HYPOTHESIS}, "top_k": None, "function_to_apply": "none"}
    )
    ((labelled,),) = loaded[TaskName.TEXT_CLASSIFICATION].answer([pair])
    assert isinstance(labelled, list)
    logits = {entry["label"]: entry["score"] for entry in labelled}
    request = ZeroShotClassificationRequest.parse(
        {"inputs": TEXT, "candidate_labels": ["good"], "hypothesis_template": "it is {} ."}
    )
    ((result,),) = loaded[TaskName.ZERO_SHOT_CLASSIFICATION].answer([request])
    assert isinstance(result, dict)
    expected = softmax(np.array([logits["LABEL_1"], logits["LABEL_2"]]))[1]
    assert result["scores"] == [pytest.approx(expected, abs=1e-6)]
