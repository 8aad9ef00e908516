"""What the two tasks with a sequence-classification head share: its logits and score functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.engine.engine import SequenceOutput

__all__ = ["SCORE_FUNCTIONS", "Scores", "logits_index", "softmax", "stack_logits"]

#: Logits or scores, with the labels on the last axis.
Scores = npt.NDArray[np.float64]


def logits_index(output_names: Sequence[str]) -> int:
    """Index of the model's output with the logits: the one of that name, otherwise the first."""
    return output_names.index("logits") if "logits" in output_names else 0


def stack_logits(outputs: Sequence[Sequence[SequenceOutput]], index: int) -> Scores:
    """Stack the logits of the sequences of all items, one after another.

    Args:
        outputs: for each item, what the model computed for each of its sequences.
        index: index of the output with the logits.

    Returns:
        Logits of shape (sequences, labels).
    """
    return np.array([sequence[index] for item in outputs for sequence in item], dtype=np.float64)


def softmax(logits: Scores) -> Scores:
    """Softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Scores = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def _sigmoid(logits: Scores) -> Scores:
    # The textbook formula has two forms; each is used where it cannot overflow.
    powers = np.exp(-np.abs(logits))
    scores: Scores = np.where(logits >= 0, 1.0, powers) / (1.0 + powers)
    return scores


def _none(logits: Scores) -> Scores:
    return logits


#: Score functions by the name that ``function_to_apply`` has in the contract.
SCORE_FUNCTIONS: dict[str, Callable[[Scores], Scores]] = {"sigmoid": _sigmoid, "softmax": softmax, "none": _none}
