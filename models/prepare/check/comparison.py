"""Whether what the engine answers is what the published model answers, and how far apart they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engine.engine import SequenceOutput, TokenSequence
from models.prepare.check.published import Row

__all__ = ["TOLERANCE", "Distance", "logit_distance", "named_scores", "result_distance", "same_tokens"]

#: Largest difference of a score, and of a logit relative to the largest of its sequence.
TOLERANCE = 1e-3
#: A label or span may come before another if their scores are no further apart than this share of them.
_TIE = 2e-3


@dataclass(frozen=True)
class Distance:
    """How two results differ.

    Attributes:
        score: the largest difference of two scores of the same label or span.
        has_same_names: whether they have the same labels or spans, and the same one comes first.
    """

    score: float
    has_same_names: bool

    @property
    def is_small(self) -> bool:
        """Whether the results count as equal."""
        return self.has_same_names and self.score <= TOLERANCE


def same_tokens(sequences: Sequence[TokenSequence], rows: Sequence[Row]) -> bool:
    """Whether both read the same tokens."""
    return [list(sequence.ids) for sequence in sequences] == [row.ids for row in rows]


def logit_distance(output: SequenceOutput, names: Sequence[str], row: Row) -> float:
    """The largest difference of two logits of one sequence, relative to the largest of them where that is over 1.

    Args:
        output: what the engine computed, padding at the end included.
        names: of its outputs.
        row: what the published model computed.

    Returns:
        Infinity if an output has another shape, or is not finite.
    """
    found = {name if name in row.outputs else "logits": value for name, value in zip(names, output, strict=True)}
    return max(_distance(found.get(name), expected) for name, expected in row.outputs.items())


def _distance(found: npt.NDArray[np.float32] | None, expected: npt.NDArray[np.float32]) -> float:
    if found is None or found.ndim != expected.ndim or len(found) < len(expected):
        return float("inf")
    differences = np.abs(found[: len(expected)] - expected)
    largest = float(differences.max() / max(1.0, float(np.abs(expected).max())))
    return largest if np.isfinite(largest) else float("inf")


def result_distance(result: Any, expected: Any) -> Distance:
    """How a result differs from the one that is expected, both in the shape of their task."""
    ours, theirs = named_scores(result), named_scores(expected)
    if sorted(name for name, _ in ours) != sorted(name for name, _ in theirs):
        return Distance(float("inf"), has_same_names=False)
    found, wanted = _by_name(ours), _by_name(theirs)
    score = max(
        (abs(a - b) for name in wanted for a, b in zip(sorted(found[name]), sorted(wanted[name]), strict=True)),
        default=0.0,
    )
    is_tie = not ours or ours[0][0] == theirs[0][0] or _is_tie(dict(theirs)[ours[0][0]], theirs[0][1])
    return Distance(_relative(score, theirs), is_tie)


def named_scores(result: Any) -> list[tuple[Any, float]]:
    """Labels, or spans with their text, and their scores, best first."""
    if isinstance(result, dict) and "labels" in result:
        return list(zip(result["labels"], result["scores"], strict=True))
    entries = result if isinstance(result, list) else [result]
    if entries and "label" in entries[0]:
        return [(entry["label"], entry["score"]) for entry in entries]
    return [((entry["start"], entry["end"], entry["answer"]), entry["score"]) for entry in entries]


def _by_name(entries: list[tuple[Any, float]]) -> dict[Any, list[float]]:
    scores: dict[Any, list[float]] = defaultdict(list)
    for name, score in entries:
        scores[name].append(score)
    return scores


def _is_tie(score: float, other: float) -> bool:
    return abs(score - other) <= max(_TIE * abs(other), 1e-6)


def _relative(score: float, entries: list[tuple[Any, float]]) -> float:
    """Logits, which requests may ask for in place of scores, are compared relative to the largest of them."""
    return score / max([1.0, *(abs(value) for _, value in entries)])
