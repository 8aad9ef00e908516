"""Which labels of a natural language inference model say "entailed" and "contradicted"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["NO_LABELS", "InferenceLabels", "find_labels", "is_entailment"]


class InferenceLabels(NamedTuple):
    """Labels that their owner names, because their names do not say what they mean.

    Attributes:
        entailment: the label that says "entailed"; empty if it is found by its name.
        contradiction: the label that says "contradicted"; empty if it is found by its name or its position.
    """

    entailment: str = ""
    contradiction: str = ""


NO_LABELS = InferenceLabels()


def is_entailment(label: str) -> bool:
    """Whether the label says "entailed": its name begins so, in any case."""
    return label.lower().startswith("entail")


def find_labels(names: Sequence[str], given: InferenceLabels = NO_LABELS) -> tuple[int, int]:
    """Find the two labels that zero-shot classification reads.

    Args:
        names: names of all labels, by index.
        given: what the model's owner says about them.

    Returns:
        Index of the label that says "entailed", and of the one that says "contradicted". If no name says the latter, it
        is the label at the end opposite to entailment, as in ``transformers``.

    Raises:
        ValueError: no label has a given name; or none is given and no name says "entailed", so the model may not have
            been trained on natural language inference.
    """
    if given.entailment:
        entailment = _index(names, given.entailment)
    else:
        entailment = next((index for index, name in enumerate(names) if is_entailment(name)), -1)
        if entailment < 0:
            raise ValueError(f"none of the labels {', '.join(names)} is entailment")
    if given.contradiction:
        contradiction = _index(names, given.contradiction)
    else:
        opposite = len(names) - 1 if entailment == 0 else 0
        contradictions = (index for index, name in enumerate(names) if name.lower().startswith("contra"))
        contradiction = next(contradictions, opposite)
    if entailment == contradiction:
        raise ValueError(f"{names[entailment]} cannot mean both entailment and contradiction")
    return entailment, contradiction


def _index(names: Sequence[str], label: str) -> int:
    if label not in names:
        raise ValueError(f"none of the labels {', '.join(names)} is {label}")
    return names.index(label)
