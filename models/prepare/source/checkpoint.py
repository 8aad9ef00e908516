"""What a model's configuration says of it, before anything is computed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import PreparationError
from models.prepare.source.layout import Layout, detect, weights_of
from models.store import CONFIG_NAME
from producer.contract import TaskName

__all__ = ["Checkpoint", "read_checkpoint"]

_TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
_MAX_LENGTH = "max_position_embeddings"
#: Families whose first token has the position behind the padding token's id: so many positions are never used
#: (``create_position_ids_from_input_ids`` in ``transformers``).
_COUNTS_BEHIND_PADDING = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet"})
_TASKS = {
    "ForSequenceClassification": TaskName.TEXT_CLASSIFICATION,
    "ForQuestionAnswering": TaskName.QUESTION_ANSWERING,
}


@dataclass(frozen=True)
class Checkpoint:
    """A model as it is published."""

    directory: Path
    config: dict[str, Any]
    task: TaskName
    layout: Layout

    @property
    def weights(self) -> Path:
        """The file with the graph's weights."""
        return self.directory / weights_of(self.layout)

    @property
    def max_length_tokens(self) -> int:
        """Longest sequence that its position embeddings reach and its tokenizer allows."""
        positions = int(self.config[_MAX_LENGTH])
        if self.config.get("model_type") in _COUNTS_BEHIND_PADDING:
            positions -= int(self.config.get("pad_token_id", 1)) + 1
        return min(positions, _tokenizer_limit(self.directory))


def read_checkpoint(directory: Path, task: TaskName | None = None) -> Checkpoint:
    """Read a checkpoint's configuration and check that its files are there.

    Args:
        directory: the files.
        task: what it is for, where its architecture does not say.

    Raises:
        PreparationError: a file is missing or broken, its format cannot be read, or no task is known for its
            architecture.
    """
    if not (directory / CONFIG_NAME).is_file():
        raise PreparationError(f"{directory} is no model that can be prepared: it has no {CONFIG_NAME}")
    layout = detect({path.name for path in directory.iterdir()}, str(directory))
    config = _read_config(directory / CONFIG_NAME)
    return Checkpoint(directory, config, task or _task_of(directory, config), layout)


def _task_of(directory: Path, config: Mapping[str, Any]) -> TaskName:
    architecture = next(iter(config.get("architectures") or [""]))
    task = next((task for suffix, task in _TASKS.items() if architecture.endswith(suffix)), None)
    if task is None:
        raise PreparationError(
            f"{directory}: architecture {architecture or 'unknown'} is not supported; supported are "
            f"architectures that end with {', '.join(_TASKS)} (--task says what a model is for that does not say)"
        )
    if task is TaskName.TEXT_CLASSIFICATION and _is_about_entailment(config):
        return TaskName.ZERO_SHOT_CLASSIFICATION
    return task


def _is_about_entailment(config: Mapping[str, Any]) -> bool:
    """Whether the labels are those of natural language inference, which zero-shot classification is made from."""
    return any(str(label).lower().startswith("entail") for label in (config.get("id2label") or {}).values())


def _tokenizer_limit(directory: Path) -> int:
    """``model_max_length`` of the tokenizer; a number beyond any model where it has none."""
    path = directory / _TOKENIZER_CONFIG_NAME
    limit = _read_object(path).get("model_max_length") if path.is_file() else None
    return int(limit) if isinstance(limit, (int, float)) and 1 <= limit <= sys.maxsize else sys.maxsize


def _read_config(path: Path) -> dict[str, Any]:
    config = _read_object(path)
    length = config.get(_MAX_LENGTH)
    if not isinstance(length, int) or length < 1:
        raise PreparationError(f"{path} does not say how long a text the model reads: {_MAX_LENGTH} is {length!r}")
    return config


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise PreparationError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PreparationError(f"{path} holds no JSON object")
    return value
