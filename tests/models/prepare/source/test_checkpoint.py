"""What a checkpoint's files say about it, before anything is exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from models.errors import PreparationError
from models.pipelines.entailment import InferenceLabels
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


def change_config(directory: Path, **fields: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def test_labels_that_are_given_make_a_classifier_one_for_zero_shot_classification(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny", LABELS)
    given = InferenceLabels("YES", "NO")
    checkpoint = read_checkpoint(tmp_path / "tiny", labels=given)
    assert checkpoint.task is TaskName.ZERO_SHOT_CLASSIFICATION
    assert checkpoint.labels == given


@pytest.mark.parametrize(
    ("labels", "task", "given", "reason"),
    [
        (LABELS, TaskName.ZERO_SHOT_CLASSIFICATION, InferenceLabels(), "is entailment; say with --entailment LABEL"),
        (LABELS, None, InferenceLabels("yes"), "none of the labels NO, PERHAPS, YES is yes"),
        (LABELS, TaskName.TEXT_CLASSIFICATION, InferenceLabels("YES"), "is for text-classification: --entailment"),
        (None, None, InferenceLabels("YES"), "is for question-answering: --entailment"),
    ],
)
def test_labels_that_do_not_suit_the_task_are_refused_with_the_option_that_names_them(
    tmp_path: Path, labels: Sequence[str] | None, task: TaskName | None, given: InferenceLabels, reason: str
) -> None:
    write_checkpoint(tmp_path / "tiny", labels)
    with pytest.raises(PreparationError, match=reason):
        read_checkpoint(tmp_path / "tiny", task, labels=given)


def test_a_family_that_is_not_served_is_refused_unless_its_graph_is_published(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny")
    change_config(tmp_path / "tiny", model_type="longformer")
    with pytest.raises(PreparationError, match=r"longformer is not served: .*; a ModernBERT model reads 8,192 tokens"):
        read_checkpoint(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.onnx").touch()
    assert read_checkpoint(tmp_path / "tiny").task is TaskName.TEXT_CLASSIFICATION


def test_gpt2_calls_its_length_otherwise(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny")
    path = tmp_path / "tiny" / "config.json"
    config = json.loads(path.read_bytes())
    config["n_positions"] = config.pop("max_position_embeddings")
    path.write_text(json.dumps({**config, "model_type": "gpt2"}))
    assert read_checkpoint(tmp_path / "tiny").max_length_tokens == MAX_LENGTH


def test_weights_in_several_files_are_told_by_their_numbers(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny")
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (tmp_path / "tiny" / "model.safetensors").rename(tmp_path / "tiny" / names[0])
    for name in (names[1], "model.safetensors.index.json", "model-extra.safetensors"):
        (tmp_path / "tiny" / name).touch()
    checkpoint = read_checkpoint(tmp_path / "tiny")
    assert checkpoint.weights.name == "model.safetensors.index.json"
    assert [path.name for path in checkpoint.weight_files] == names
