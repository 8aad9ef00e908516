"""What a checkpoint's files say about it, before anything is exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from models.errors import PreparationError
from models.prepare.source.checkpoint import read_checkpoint
from producer.contract import TaskName
from tests.models.tiny_checkpoint import INFERENCE_LABELS, LABELS, MAX_LENGTH, write_checkpoint


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (LABELS, TaskName.TEXT_CLASSIFICATION),
        (["not_entailment", "contradiction"], TaskName.TEXT_CLASSIFICATION),
        (INFERENCE_LABELS, TaskName.ZERO_SHOT_CLASSIFICATION),
        (["entailment", "not_entailment"], TaskName.ZERO_SHOT_CLASSIFICATION),
        (["Neutral", "Entailed"], TaskName.ZERO_SHOT_CLASSIFICATION),
        (None, TaskName.QUESTION_ANSWERING),
    ],
)
def test_the_head_and_its_labels_say_which_task_a_checkpoint_is_for(
    tmp_path: Path, labels: Sequence[str] | None, task: TaskName
) -> None:
    write_checkpoint(tmp_path / "tiny", labels)
    assert read_checkpoint(tmp_path / "tiny").task is task


def test_a_classifier_without_names_for_its_labels_is_a_classifier(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny", [])
    assert read_checkpoint(tmp_path / "tiny").task is TaskName.TEXT_CLASSIFICATION


def test_a_task_that_is_given_goes_before_the_architecture(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny", INFERENCE_LABELS)
    assert read_checkpoint(tmp_path / "tiny", TaskName.TEXT_CLASSIFICATION).task is TaskName.TEXT_CLASSIFICATION


def test_the_weights_and_the_configuration_are_those_of_the_directory(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny")
    checkpoint = read_checkpoint(tmp_path / "tiny")
    assert checkpoint.weights == tmp_path / "tiny" / "model.safetensors"
    assert checkpoint.config == json.loads((tmp_path / "tiny" / "config.json").read_bytes())


@pytest.mark.parametrize(
    ("tokenizer_config", "longest"),
    [
        ({}, MAX_LENGTH),
        ({"model_max_length": 10**30}, MAX_LENGTH),
        ({"model_max_length": 1e30}, MAX_LENGTH),
        ({"model_max_length": float("inf")}, MAX_LENGTH),
        ({"model_max_length": MAX_LENGTH + 1}, MAX_LENGTH),
        ({"model_max_length": MAX_LENGTH}, MAX_LENGTH),
        ({"model_max_length": MAX_LENGTH - 2}, MAX_LENGTH - 2),
        ({"model_max_length": 40.0}, 40),
        ({"model_max_length": None}, MAX_LENGTH),
        ({"model_max_length": "long"}, MAX_LENGTH),
        ({"model_max_length": 0}, MAX_LENGTH),
        ({"model_max_length": -1}, MAX_LENGTH),
        ({"do_lower_case": True}, MAX_LENGTH),
    ],
)
def test_the_longest_input_is_what_both_the_position_embeddings_and_the_tokenizer_allow(
    tmp_path: Path, tokenizer_config: dict[str, Any], longest: int
) -> None:
    write_checkpoint(tmp_path / "tiny", **tokenizer_config)
    assert (tmp_path / "tiny" / "tokenizer_config.json").is_file() == bool(tokenizer_config)
    assert read_checkpoint(tmp_path / "tiny").max_length_tokens == longest


@pytest.mark.parametrize(("padding", "longest"), [(1, MAX_LENGTH - 2), (0, MAX_LENGTH - 1)])
@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert"])
def test_a_family_that_counts_positions_from_behind_its_padding_token_reads_as_many_less(
    tmp_path: Path, family: str, padding: int, longest: int
) -> None:
    write_checkpoint(tmp_path / "tiny", model_max_length=10**30)
    path = tmp_path / "tiny" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "model_type": family, "pad_token_id": padding}))
    assert read_checkpoint(tmp_path / "tiny").max_length_tokens == longest


@pytest.mark.parametrize(("content", "reason"), [("{", "is not JSON"), ("[]", "is not a JSON object")])
def test_a_broken_configuration_of_the_tokenizer_is_refused_by_its_name(
    tmp_path: Path, content: str, reason: str
) -> None:
    write_checkpoint(tmp_path / "tiny")
    path = tmp_path / "tiny" / "tokenizer_config.json"
    path.write_text(content)
    with pytest.raises(PreparationError, match=f"{path} {reason}"):
        _ = read_checkpoint(tmp_path / "tiny").max_length_tokens


@pytest.mark.parametrize("length", [None, 0, -1, "48", 48.0])
def test_a_configuration_without_a_length_is_refused_with_what_it_says(tmp_path: Path, length: object) -> None:
    write_checkpoint(tmp_path / "tiny")
    path = tmp_path / "tiny" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "max_position_embeddings": length}))
    with pytest.raises(PreparationError, match=f"max_position_embeddings is {length!r}"):
        read_checkpoint(tmp_path / "tiny")
