"""Latency against offered load, and what a lone request costs beside the bare model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.arrivals import percentile, poisson_arrivals
from benchmarks.contestants.base import Contestant, UnavailableError
from benchmarks.stack import Stack

__all__ = ["LATENCY_CONTESTANTS", "LatencyOptions", "lone_requests", "under_load"]

#: Whose latency is measured: those that answer one text a message with the same model.
LATENCY_CONTESTANTS = ("celeriac_single", "celery_optimum", "http_peer")
_PERCENTS = (50, 95, 99)
_LEAST_REQUESTS = 50
_SEED = 7


@dataclass(frozen=True)
class LatencyOptions:
    """Which loads, for how long.

    Attributes:
        shares: of the saturated rate, from 0 to 1.
        seconds: at each.
        lone_requests: how many are sent one at a time to an idle contestant.
        names: whose.
    """

    shares: Sequence[float]
    seconds: float
    lone_requests: int
    names: Sequence[str] = LATENCY_CONTESTANTS


def under_load(
    contestant: Contestant, saturated_rate: float, options: LatencyOptions, step: Iterator[object]
) -> list[dict[str, Any]]:
    """Percentiles in milliseconds for each share of the saturated rate; no further than where it fails."""
    points: list[dict[str, Any]] = []
    items = contestant.workload.items
    for share in options.shares:
        rate = saturated_rate * share
        arrivals = poisson_arrivals(rate, max(options.seconds, _LEAST_REQUESTS / rate), _SEED)
        chosen = [items[index % len(items)] for index in range(len(arrivals))]
        point: dict[str, Any] = {"share": share, "offered_per_second": round(rate, 1), "requests": len(arrivals)}
        points.append(point)
        started_s = time.perf_counter()
        try:
            latencies = contestant.answer_arrivals(chosen, arrivals)
        except UnavailableError as error:
            point["failed"] = str(error)
            break
        point["answered_per_second"] = round(len(latencies) / (time.perf_counter() - started_s), 1)
        point |= {f"p{percent}_ms": round(percentile(latencies, percent) * 1000, 2) for percent in _PERCENTS}
        next(step, None)
    return points


def lone_requests(stack: Stack, names: Sequence[str], count: int) -> dict[str, Any]:
    """Milliseconds of requests to an idle contestant, each sent when the last is answered; of the bare model, too."""
    figures: dict[str, Any] = {}
    for name in ("bound", *names):
        if contestant := stack.contestants.get(name):
            try:
                with contestant.turn():
                    figures[name] = _in_ms(contestant.answer_alone(contestant.workload.items[:count]))
            except UnavailableError as error:
                figures[name] = {"failed": str(error)}
    return figures


def _in_ms(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "requests": len(seconds),
        "median_ms": round(statistics.median(seconds) * 1000, 2),
        "p95_ms": round(percentile(seconds, 95) * 1000, 2),
    }
