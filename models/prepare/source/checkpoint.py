"""What a published model's configuration says about it, before anything is computed."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import PreparationError
from models.pipelines.entailment import NO_LABELS, InferenceLabels, find_labels, is_entailment
from models.pipelines.labels import label_names
from models.prepare.source.layout import Layout, check_configuration, detect, weight_files, weights_of
from models.prepare.source.refusals import LAYOUTS_WITH_GRAPH, check_is_served, check_is_whole_model
from models.store import CONFIG_NAME
from producer.contract import TaskName

__all__ = ["Checkpoint", "read_checkpoint"]

_TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
#: How ``config.json`` calls the number of positions: everywhere, and in GPT-2.
_MAX_LENGTH, _MAX_LENGTH_OF_GPT2 = "max_position_embeddings", "n_positions"
#: Model types that number positions from the padding token's id + 1, so that the positions before it are never used
#: (``create_position_ids_from_input_ids`` in ``transformers``).
_POSITIONS_AFTER_PADDING = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet"})
_TASKS = {
    "ForSequenceClassification": TaskName.TEXT_CLASSIFICATION,
    "ForQuestionAnswering": TaskName.QUESTION_ANSWERING,
}


@dataclass(frozen=True)
class Checkpoint:
    """A model as it is published.

    Attributes:
        directory: its files.
        config: contents of ``config.json``.
        task: the task that it is made for.
        layout: the format of its weights.
        labels: which of its labels are those of natural language inference, where names do not say it.
    """

    directory: Path
    config: dict[str, Any]
    task: TaskName
    layout: Layout
    labels: InferenceLabels = NO_LABELS

    @property
    def weights(self) -> Path:
        """The file with the weights, or the one that says in which files they are."""
        return self.directory / weights_of(self.layout)

    @property
    def weight_files(self) -> list[Path]:
        """The files with the weights, by name."""
        names = (path.name for path in self.directory.iterdir())
        return [self.directory / name for name in weight_files(self.layout, names)]

    @property
    def max_length_tokens(self) -> int:
        """Longest sequence, in tokens, that both the position embeddings and the tokenizer allow.

        Raises:
            PreparationError: the tokenizer's configuration is not a JSON object.
        """
        positions = int(_length_in(self.config))
        if self.config.get("model_type") in _POSITIONS_AFTER_PADDING:
            positions -= int(self.config.get("pad_token_id", 1)) + 1
        return min(positions, _tokenizer_limit(self.directory))


def read_checkpoint(
    directory: Path,
    task: TaskName | None = None,
    *,
    labels: InferenceLabels = NO_LABELS,
    names: Collection[str] | None = None,
    source: str = "",
) -> Checkpoint:
    """Read a checkpoint's configuration, and refuse what cannot be served. No weights are read.

    Args:
        directory: its files, of which only ``config.json`` must be there.
        task: the task that it is made for; derived from its architecture and its labels if None.
        labels: which of its labels are those of natural language inference; if any, it is made for zero-shot
            classification unless a task is given.
        names: names of all its files; those in ``directory`` if None.
        source: where it comes from, for messages; ``directory`` if empty.

    Raises:
        PreparationError: a file is missing or invalid, the format or the family is not supported, the architecture
            belongs to no supported task, or the labels do not suit the task.
    """
    source = source or str(directory)
    names = names if names is not None else {path.name for path in directory.iterdir()}
    check_configuration(names, source)
    layout = detect(names, source)
    config = _read_object(directory / CONFIG_NAME)
    if layout not in LAYOUTS_WITH_GRAPH and not isinstance(config.get("model_type"), str):
        raise PreparationError(
            f"{directory / CONFIG_NAME} does not say of which family the model is: model_type is "
            f"{config.get('model_type')!r}"
        )
    check_is_whole_model(names, config, source)
    task = task or _task_of(source, config, labels)
    check_is_served(config, layout, task, source)
    _check_length(directory / CONFIG_NAME, config)
    _check_labels(source, config, task, labels)
    return Checkpoint(directory, config, task, layout, labels)


def _task_of(source: str, config: Mapping[str, Any], labels: InferenceLabels) -> TaskName:
    architecture = next(iter(config.get("architectures") or [""]))
    task = next((task for suffix, task in _TASKS.items() if architecture.endswith(suffix)), None)
    if task is None:
        raise PreparationError(
            f"{source}: architecture {architecture or 'unknown'} is not supported; supported are architectures "
            f"that end with {', '.join(_TASKS)} (use --task if the configuration does not name the right one)"
        )
    if task is TaskName.TEXT_CLASSIFICATION and (labels != NO_LABELS or _has_entailment_label(config)):
        return TaskName.ZERO_SHOT_CLASSIFICATION
    return task


def _check_labels(source: str, config: Mapping[str, Any], task: TaskName, labels: InferenceLabels) -> None:
    if task is not TaskName.ZERO_SHOT_CLASSIFICATION:
        if labels != NO_LABELS:
            raise PreparationError(f"{source} is for {task.value}: --entailment and --contradiction are for zero-shot")
        return
    try:
        find_labels(label_names(config), labels)
    except ValueError as error:
        raise PreparationError(f"{source}: {error}; say with --entailment LABEL which label means it") from None


def _has_entailment_label(config: Mapping[str, Any]) -> bool:
    """Whether the labels are those of natural language inference, on which zero-shot classification is based."""
    return any(is_entailment(str(label)) for label in (config.get("id2label") or {}).values())


def _tokenizer_limit(directory: Path) -> int:
    """``model_max_length`` of the tokenizer; ``sys.maxsize`` if it has none."""
    path = directory / _TOKENIZER_CONFIG_NAME
    limit = _read_object(path).get("model_max_length") if path.is_file() else None
    return int(limit) if isinstance(limit, (int, float)) and 1 <= limit <= sys.maxsize else sys.maxsize


def _length_in(config: Mapping[str, Any]) -> Any:
    return config.get(_MAX_LENGTH, config.get(_MAX_LENGTH_OF_GPT2))


def _check_length(path: Path, config: Mapping[str, Any]) -> None:
    length = _length_in(config)
    if not isinstance(length, int) or length < 1:
        raise PreparationError(f"{path} does not say how many tokens the model reads: {_MAX_LENGTH} is {length!r}")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise PreparationError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PreparationError(f"{path} is not a JSON object")
    return value
