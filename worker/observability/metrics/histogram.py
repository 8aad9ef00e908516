"""A histogram whose update costs the event loop one binary search."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

__all__ = ["Histogram"]


class Histogram:
    """Counts values by bucket. One thread writes, any thread may read.

    Args:
        bounds: upper bounds of the buckets, ascending and inclusive.
    """

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        #: Sum of all values.
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Prometheus' cumulative buckets: each bound with the number of values up to it; the last bound is infinite."""
        return zip((*map(str, self._bounds), "+Inf"), accumulate(list(self._counts)), strict=True)
