"""How large a batch may get."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BatchLimits"]


@dataclass(frozen=True)
class BatchLimits:
    """Limits of one batch.

    Attributes:
        requests: most requests.
        cost: most cost in all; a single request that costs more goes alone.
        bulk_s: a batch of bulk requests may cost more, up to what a process is expected to do in this time, in seconds.
    """

    requests: int
    cost: int
    bulk_s: float
