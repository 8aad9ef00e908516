"""How long work takes: seconds per unit of cost, averaged over recent batches."""

from __future__ import annotations

from collections.abc import Callable, Hashable

__all__ = ["UNKNOWN_REQUEST_S", "ByteThroughput", "Throughput"]

#: Assumed time of a request before any was measured, in seconds: about that of a short text.
UNKNOWN_REQUEST_S = 0.01
#: Assumed time per byte before anything is known, in seconds: a 6-layer INT8 MiniLM on one core takes about this.
_UNKNOWN_BYTE_S = 2e-5
#: Each batch multiplies the weight of all batches before it by this factor, so that the average follows the load.
_DECAY = 0.9
#: Lower bound of the time per unit, which may be measured as zero.
_MIN_UNIT_S = 1e-12


class Throughput:
    """Time per unit of cost, measured separately for each kind of work.

    Args:
        expected_unit_s: seconds per unit that are expected of a kind until it is measured; 0 if unknown.
    """

    def __init__(self, expected_unit_s: Callable[[Hashable], float] = lambda _: 0.0) -> None:
        self._expected_unit_s = expected_unit_s
        #: Decayed cost and seconds, by kind.
        self._measured: dict[Hashable, tuple[float, float]] = {}

    def observe(self, kind: Hashable, cost: int, seconds: float) -> None:
        """Add a batch that was computed."""
        costs, spent_s = self._measured.get(kind, (0.0, 0.0))
        self._measured[kind] = costs * _DECAY + cost, spent_s * _DECAY + seconds

    def seconds_for(self, kind: Hashable, cost: int) -> float:
        """How long one process needs for this cost; 0 if unknown."""
        return cost * (self._unit_s(kind) or 0.0)

    def cost_in(self, kind: Hashable, seconds: float) -> int | None:
        """The cost that one process computes in this time; None if unknown."""
        unit_s = self._unit_s(kind)
        return None if unit_s is None else max(0, int(seconds / max(unit_s, _MIN_UNIT_S)))

    def _unit_s(self, kind: Hashable) -> float | None:
        costs, spent_s = self._measured.get(kind, (0.0, 0.0))
        return spent_s / costs if costs else self._expected_unit_s(kind) or None


class ByteThroughput:
    """Time per byte of message body, for work whose kind is unknown, such as a message that is not fetched yet."""

    def __init__(self) -> None:
        self._expected_byte_s = _UNKNOWN_BYTE_S
        self._throughput = Throughput(lambda _: self._expected_byte_s)

    def expect(self, byte_s: float) -> None:
        """Expect this many seconds per byte, over 0, until a batch is measured."""
        self._expected_byte_s = byte_s

    def observe(self, size_bytes: int, seconds: float) -> None:
        """Add a batch that was computed."""
        self._throughput.observe(None, size_bytes, seconds)

    def estimate_s(self, size_bytes: int) -> float:
        """How long one process needs for this many bytes, in seconds."""
        return self._throughput.seconds_for(None, size_bytes)

    def bytes_in(self, seconds: float) -> int:
        """The number of bytes that one process computes in this time."""
        return self._throughput.cost_in(None, seconds) or 0
