"""How large a batch may get."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BatchLimits"]


@dataclass(frozen=True)
class BatchLimits:
    """Limits of one batch.

    Attributes:
        requests: maximum number of requests.
        cost: maximum total cost. A single request that costs more runs alone.
        bulk_s: a batch of bulk requests may exceed ``cost`` as long as a process is expected to finish it in this
            time, in seconds.
        min_cost: a batch that a process is not expected to finish in ``bulk_s`` shrinks to what it is, but not below
            this cost; None if batches never shrink.
    """

    requests: int
    cost: int
    bulk_s: float
    min_cost: int | None = None

    def cost_within(self, cost_in_time: int | None, *, is_bulk: bool) -> int:
        """The maximum total cost of a batch.

        Args:
            cost_in_time: what a process is expected to compute in ``bulk_s``; None if unknown.
            is_bulk: whether the requests are bulk requests.
        """
        if cost_in_time is None:
            return self.cost
        least = self.cost if self.min_cost is None else min(self.min_cost, self.cost)
        return max(least, cost_in_time if is_bulk else min(cost_in_time, self.cost))
