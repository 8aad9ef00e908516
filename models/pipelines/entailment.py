"""Which labels of a natural language inference model say "entailed" and "contradicted", by their names."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["contradiction_index", "entailment_index", "is_entailment"]


def is_entailment(label: str) -> bool:
    """Whether the label says "entailed": its name begins so, in any case."""
    return label.lower().startswith("entail")


def entailment_index(labels: Sequence[str]) -> int:
    """Index of the first label that says "entailed".

    Raises:
        ValueError: no label does, so the model was not trained on natural language inference.
    """
    for index, label in enumerate(labels):
        if is_entailment(label):
            return index
    raise ValueError(f"none of the labels {', '.join(labels)} is entailment")


def contradiction_index(labels: Sequence[str], entailment: int) -> int:
    """Index of the label that says "contradicted".

    If no name says so, it is the label at the end opposite to entailment, as in ``transformers``.

    Args:
        labels: names of all labels, by index.
        entailment: index of the label that says "entailed".
    """
    for index, label in enumerate(labels):
        if label.lower().startswith("contra"):
            return index
    return len(labels) - 1 if entailment == 0 else 0
