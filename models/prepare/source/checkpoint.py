"""What a published model's configuration says about it, before anything is computed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import PreparationError
from models.pipelines.entailment import is_entailment
from models.prepare.source.layout import Layout, detect, weights_of
from models.store import CONFIG_NAME
from producer.contract import TaskName

__all__ = ["Checkpoint", "read_checkpoint"]

_TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
_MAX_LENGTH = "max_position_embeddings"
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
    """

    directory: Path
    config: dict[str, Any]
    task: TaskName
    layout: Layout

    @property
    def weights(self) -> Path:
        """The file with the weights."""
        return self.directory / weights_of(self.layout)

    @property
    def max_length_tokens(self) -> int:
        """Longest sequence, in tokens, that both the position embeddings and the tokenizer allow.

        Raises:
            PreparationError: the tokenizer's configuration is not a JSON object.
        """
        positions = int(self.config[_MAX_LENGTH])
        if self.config.get("model_type") in _POSITIONS_AFTER_PADDING:
            positions -= int(self.config.get("pad_token_id", 1)) + 1
        return min(positions, _tokenizer_limit(self.directory))


def read_checkpoint(directory: Path, task: TaskName | None = None) -> Checkpoint:
    """Read a checkpoint's configuration and check that its files exist.

    Args:
        directory: its files.
        task: the task that it is made for; derived from its architecture if None.

    Raises:
        PreparationError: a file is missing or invalid, the format is not supported, or the architecture belongs to no
            supported task.
    """
    if not (directory / CONFIG_NAME).is_file():
        raise PreparationError(f"{directory} is not a model that can be prepared: it has no {CONFIG_NAME}")
    layout = detect({path.name for path in directory.iterdir()}, str(directory))
    config = _read_config(directory / CONFIG_NAME)
    return Checkpoint(directory, config, task or _task_of(directory, config), layout)


def _task_of(directory: Path, config: Mapping[str, Any]) -> TaskName:
    architecture = next(iter(config.get("architectures") or [""]))
    task = next((task for suffix, task in _TASKS.items() if architecture.endswith(suffix)), None)
    if task is None:
        raise PreparationError(
            f"{directory}: architecture {architecture or 'unknown'} is not supported; supported are architectures "
            f"that end with {', '.join(_TASKS)} (use --task if the configuration does not name the right one)"
        )
    if task is TaskName.TEXT_CLASSIFICATION and _has_entailment_label(config):
        return TaskName.ZERO_SHOT_CLASSIFICATION
    return task


def _has_entailment_label(config: Mapping[str, Any]) -> bool:
    """Whether the labels are those of natural language inference, on which zero-shot classification is based."""
    return any(is_entailment(str(label)) for label in (config.get("id2label") or {}).values())


def _tokenizer_limit(directory: Path) -> int:
    """``model_max_length`` of the tokenizer; ``sys.maxsize`` if it has none."""
    path = directory / _TOKENIZER_CONFIG_NAME
    limit = _read_object(path).get("model_max_length") if path.is_file() else None
    return int(limit) if isinstance(limit, (int, float)) and 1 <= limit <= sys.maxsize else sys.maxsize


def _read_config(path: Path) -> dict[str, Any]:
    config = _read_object(path)
    length = config.get(_MAX_LENGTH)
    if not isinstance(length, int) or length < 1:
        raise PreparationError(f"{path} does not say how many tokens the model reads: {_MAX_LENGTH} is {length!r}")
    return config


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise PreparationError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PreparationError(f"{path} is not a JSON object")
    return value
