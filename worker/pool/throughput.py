"""How long work takes: seconds per unit of cost, as measured lately, for each kind of it."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["UNKNOWN_REQUEST_S", "ByteThroughput", "Pace"]

#: Each batch weighs down what came before it by this factor, so that the estimate follows the load.
_MEMORY = 0.9
#: A unit may seem to take no time at all.
_LEAST_SECONDS = 1e-12


class Pace:
    """Averages over the recent batches of each kind by their cost.

    Args:
        guess_s: seconds per unit before anything of a kind was measured; None where nothing shall be expected of it.
    """

    def __init__(self, guess_s: float | None = None) -> None:
        self._guess_s = guess_s
        #: Cost and seconds, by kind.
        self._seen: dict[Hashable, tuple[float, float]] = {}

    def observe(self, kind: Hashable, cost: int, seconds: float) -> None:
        """Take in a batch that was computed."""
        costs, spent_s = self._seen.get(kind, (0.0, 0.0))
        self._seen[kind] = costs * _MEMORY + cost, spent_s * _MEMORY + seconds

    def seconds_for(self, kind: Hashable, cost: int) -> float:
        """How long one process takes for this much; 0 where nothing is expected."""
        return cost * (self._seconds_a_unit(kind) or 0.0)

    def cost_in(self, kind: Hashable, seconds: float) -> int:
        """How much one process does in this time; 0 where nothing is expected."""
        each_s = self._seconds_a_unit(kind)
        return 0 if each_s is None else max(0, int(seconds / max(each_s, _LEAST_SECONDS)))

    def _seconds_a_unit(self, kind: Hashable) -> float | None:
        costs, spent_s = self._seen.get(kind, (0.0, 0.0))
        return spent_s / costs if costs else self._guess_s


#: Expected seconds of a request before any was seen: a short text takes about this long.
UNKNOWN_REQUEST_S = 0.01
#: Before anything is measured: a 6-layer INT8 MiniLM on one core takes about this.
_FIRST_SECONDS_PER_BYTE = 2e-5


class ByteThroughput:
    """Seconds of one process per byte of request, over all kinds: the kind is unknown until a message is fetched."""

    def __init__(self) -> None:
        self._pace = Pace(_FIRST_SECONDS_PER_BYTE)

    def observe(self, size_bytes: int, seconds: float) -> None:
        """Take in one finished batch."""
        self._pace.observe(None, size_bytes, seconds)

    def estimate_s(self, size_bytes: int) -> float:
        """Seconds that one process will take for this much."""
        return self._pace.seconds_for(None, size_bytes)

    def bytes_in(self, seconds: float) -> int:
        """How much one process does in this time."""
        return self._pace.cost_in(None, seconds)
