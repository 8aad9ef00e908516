"""Latency against offered load, and what a lone request costs beside the bare model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.arrivals import percentile, poisson_arrivals
from benchmarks.contestants.bound import Bound
from benchmarks.contestants.queue import QueueContestant
from benchmarks.queue_load import NoAnswerError, OpenLoop
from benchmarks.stack import Stack
from producer import CeleriacError, Client

__all__ = ["LATENCY_CONTESTANTS", "LatencyOptions", "lone_request", "under_load"]

#: Whose latency is measured: those that answer one text a message, and fast enough for it to mean something.
LATENCY_CONTESTANTS = ("celeriac_single", "celery_optimum")
_PERCENTS = (50, 95, 99)
_LEAST_REQUESTS = 50
_SEED = 7
_PAUSE_S = 0.03


@dataclass(frozen=True)
class LatencyOptions:
    """Which loads, for how long.

    Attributes:
        shares: of the saturated rate, from 0 to 1.
        seconds: at each.
        lone_requests: how many are sent one at a time to an idle worker.
    """

    shares: Sequence[float]
    seconds: float
    lone_requests: int


def under_load(
    contestant: QueueContestant, saturated_rate: float, options: LatencyOptions, step: Iterator[object]
) -> list[dict[str, Any]]:
    """Percentiles in milliseconds for each share of the saturated rate."""
    points = []
    workload = contestant.workload
    with OpenLoop(contestant.situation.url) as loop:
        for share in options.shares:
            rate = saturated_rate * share
            arrivals = poisson_arrivals(rate, max(options.seconds, _LEAST_REQUESTS / rate), _SEED)
            chosen = [workload.items[index % len(workload.items)] for index in range(len(arrivals))]
            requests = [workload.request([item], several=False) for item in chosen]
            point: dict[str, Any] = {"share": share, "offered_per_second": round(rate, 1), "requests": len(requests)}
            started_s = time.perf_counter()
            try:
                latencies = loop.run(requests, arrivals)
            except NoAnswerError as error:
                points.append({**point, "failed": str(error)})
                break
            point["answered_per_second"] = round(len(latencies) / (time.perf_counter() - started_s), 1)
            point |= {f"p{percent}_ms": round(percentile(latencies, percent) * 1000, 2) for percent in _PERCENTS}
            points.append(point)
            next(step, None)
    return points


def lone_request(stack: Stack, options: LatencyOptions) -> dict[str, Any]:
    """Milliseconds of requests to an idle worker, each sent when the last is answered, and of the bare model."""
    figures: dict[str, Any] = {}
    for name in LATENCY_CONTESTANTS:
        contestant = stack.contestants.get(name)
        if isinstance(contestant, QueueContestant):
            figures[name] = _in_ms(_lone_seconds(contestant, options.lone_requests))
    bound = stack.contestants.get("bound")
    if isinstance(bound, Bound):
        items = bound.workload.items[: options.lone_requests]
        bound.lone_seconds(items)
        figures["bare model"] = _in_ms(bound.lone_seconds(items))
    return figures


def _lone_seconds(contestant: QueueContestant, count: int) -> list[float]:
    seconds = []
    with Client(contestant.situation.url, timeout_s=30) as client:
        for item in contestant.workload.items[:count]:
            request = contestant.workload.request([item], several=False)
            time.sleep(_PAUSE_S)
            started_s = time.perf_counter()
            try:
                client.wait(client.submit(request))
            except CeleriacError:
                continue
            seconds.append(time.perf_counter() - started_s)
    return seconds


def _in_ms(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {
        "requests": len(seconds),
        "median_ms": round(statistics.median(seconds) * 1000, 2),
        "p95_ms": round(percentile(seconds, 95) * 1000, 2),
    }
