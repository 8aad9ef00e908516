"""When the requests of an open loop arrive: a Poisson process, whose gaps do not wait for anybody's answers."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["percentile", "poisson_arrivals"]

_PERCENT = 100


def poisson_arrivals(per_second: float, seconds: float, seed: int) -> list[float]:
    """Moments of arrival, in seconds from the start, in order; the same ones for the same arguments.

    Raises:
        ValueError: the rate or the time is not more than 0.
    """
    if per_second <= 0 or seconds <= 0:
        raise ValueError(f"a rate and a time must be more than 0, not {per_second:g}/s for {seconds:g} s")
    dice = random.Random(seed)  # noqa: S311 - arrival times of a measurement
    moments: list[float] = []
    now_s = dice.expovariate(per_second)
    while now_s < seconds:
        moments.append(now_s)
        now_s += dice.expovariate(per_second)
    return moments


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of the values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values, or ``percent`` is not from 0 to 100.
    """
    if not values or not 0 <= percent <= _PERCENT:
        raise ValueError(f"no percentile {percent:g} of {len(values)} values")
    ordered = sorted(values)
    # Rounded before it is cut: 0.07 * 100 is 7.000000000000001, and would be the eighth value.
    rank = -int(-round(len(ordered) * percent / _PERCENT, 9) // 1)
    return ordered[max(rank, 1) - 1]
