"""A histogram that costs the event loop one search in a tuple."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

__all__ = ["Histogram"]


class Histogram:
    """How often values fell into buckets. One thread writes, any may read.

    Args:
        bounds: upper bounds of the buckets, rising; a value on a bound is below it.
    """

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        #: Of all values.
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Take in a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Each bound with the number of values up to it, the last bound infinite, as Prometheus has them."""
        return zip((*map(str, self._bounds), "+Inf"), accumulate(list(self._counts)), strict=True)
