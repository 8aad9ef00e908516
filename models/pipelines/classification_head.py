"""What the two tasks on a sequence-classification head share: its labels, its logits, the functions that score them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engine.engine import SequenceOutput

__all__ = ["SCORE_FUNCTIONS", "Scores", "label_names", "logits_index", "softmax", "stack_logits"]

Scores = npt.NDArray[np.float64]


def label_names(config: Mapping[str, Any]) -> list[str]:
    """Names of the labels by index; ``LABEL_<n>`` where the configuration has none, as ``transformers`` calls them."""
    names = config.get("id2label")
    if names:
        return [str(names[str(index)]) for index in range(len(names))]
    return [f"LABEL_{index}" for index in range(int(config.get("num_labels") or 2))]


def logits_index(output_names: Sequence[str]) -> int:
    """Which output of the model holds the logits."""
    return output_names.index("logits") if "logits" in output_names else 0


def stack_logits(outputs: Sequence[Sequence[SequenceOutput]], index: int) -> Scores:
    """Logits of shape (sequences, labels), of all items one after another."""
    return np.array([sequence[index] for item in outputs for sequence in item], dtype=np.float64)


def softmax(logits: Scores) -> Scores:
    """Softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Scores = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def _sigmoid(logits: Scores) -> Scores:
    # Both branches of the textbook form, each where it cannot overflow.
    powers = np.exp(-np.abs(logits))
    scores: Scores = np.where(logits >= 0, 1.0, powers) / (1.0 + powers)
    return scores


def _none(logits: Scores) -> Scores:
    return logits


#: ``function_to_apply`` by its name in the contract.
SCORE_FUNCTIONS: dict[str, Callable[[Scores], Scores]] = {"sigmoid": _sigmoid, "softmax": softmax, "none": _none}
