"""What a local checkpoint must have before it can be exported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import PreparationError
from models.store import CONFIG_NAME, TOKENIZER_NAME
from producer.contract import TaskName

__all__ = ["Checkpoint", "read_checkpoint"]

WEIGHTS_NAME = "model.safetensors"
_MAX_LENGTH = "max_position_embeddings"
_TASKS = {"ForSequenceClassification": TaskName.TEXT_CLASSIFICATION}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in the layout of ``transformers``."""

    directory: Path
    config: dict[str, Any]
    task: TaskName

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.directory / WEIGHTS_NAME

    @property
    def max_length_tokens(self) -> int:
        """Longest sequence that its position embeddings reach."""
        return int(self.config[_MAX_LENGTH])


def read_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint's configuration and check that its files are there.

    Raises:
        PreparationError: a file is missing or broken, or no task is known for its architecture.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME, TOKENIZER_NAME):
        if not (directory / name).is_file():
            raise PreparationError(f"{directory} is no checkpoint that can be prepared: it has no {name}")
    config = _read_config(directory / CONFIG_NAME)
    architecture = next(iter(config.get("architectures") or [""]))
    task = next((task for suffix, task in _TASKS.items() if architecture.endswith(suffix)), None)
    if task is None:
        raise PreparationError(
            f"{directory}: architecture {architecture or 'unknown'} is not supported; supported are "
            f"architectures that end with {', '.join(_TASKS)}"
        )
    return Checkpoint(directory, config, task)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise PreparationError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise PreparationError(f"{path} holds no JSON object")
    length = config.get(_MAX_LENGTH)
    if not isinstance(length, int) or length < 1:
        raise PreparationError(f"{path} does not say how long a text the model reads: {_MAX_LENGTH} is {length!r}")
    return config
