"""What a model has computed; apart from the engine, so that a worker's parent can read it without OpenVINO."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Usage", "total"]


class Usage(NamedTuple):
    """A number of inferences.

    Attributes:
        inferences: how many.
        tokens: of the sequences.
        padding_tokens: what was computed beside them, so that shapes repeat.
        seconds: time that the model took.
    """

    inferences: int = 0
    tokens: int = 0
    padding_tokens: int = 0
    seconds: float = 0.0


def total(usages: Iterable[Usage]) -> Usage:
    """All of them together."""
    found = tuple(usages)
    return Usage(
        sum(usage.inferences for usage in found),
        sum(usage.tokens for usage in found),
        sum(usage.padding_tokens for usage in found),
        sum(usage.seconds for usage in found),
    )
