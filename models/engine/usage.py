"""What a model has computed. Apart from the engine, so that a worker's parent can use it without loading OpenVINO."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Usage", "total"]


class Usage(NamedTuple):
    """The work of a number of inferences.

    Attributes:
        inferences: how many batches were computed.
        tokens: tokens of their sequences.
        padding_tokens: tokens that were computed in addition, so that shapes repeat.
        seconds: compute time.
    """

    inferences: int = 0
    tokens: int = 0
    padding_tokens: int = 0
    seconds: float = 0.0


def total(usages: Iterable[Usage]) -> Usage:
    """The sum of several usages."""
    parts = tuple(usages)
    return Usage(
        sum(usage.inferences for usage in parts),
        sum(usage.tokens for usage in parts),
        sum(usage.padding_tokens for usage in parts),
        sum(usage.seconds for usage in parts),
    )
