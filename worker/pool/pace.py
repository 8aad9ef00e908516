"""How long a batch will take: seconds per unit of cost, as measured."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Pace"]

#: Each batch weighs down what came before it by this factor, so that the estimate follows the load.
_MEMORY = 0.9
#: Batches may seem to take no time at all.
_LEAST_SECONDS = 1e-9


class Pace:
    """The pace of each kind of request, averaged over its recent batches by their cost."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[float, float]] = {}

    def observe(self, key: Hashable, cost: int, seconds: float) -> None:
        """Take in a batch that was computed."""
        costs, spent_s = self._seen.get(key, (0.0, 0.0))
        self._seen[key] = costs * _MEMORY + cost, spent_s * _MEMORY + seconds

    def cost_in(self, key: Hashable, seconds: float) -> int:
        """How much a process does in this time; 0 while nothing of this kind has been measured."""
        costs, spent_s = self._seen.get(key, (0.0, 0.0))
        return int(costs * seconds / max(spent_s, _LEAST_SECONDS))

    def seconds_for(self, key: Hashable, cost: int) -> float:
        """How long a process takes for this much; 0 while nothing of this kind has been measured."""
        costs, spent_s = self._seen.get(key, (0.0, 0.0))
        return cost * spent_s / costs if costs else 0.0
