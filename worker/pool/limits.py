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
    """

    requests: int
    cost: int
    bulk_s: float
