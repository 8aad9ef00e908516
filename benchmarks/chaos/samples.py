"""What a run uses, sampled every few seconds, and whether that grows."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

from benchmarks.chaos.fleet import Fleet
from benchmarks.chaos.sender import CLIENT_NAME

__all__ = ["SERIES", "Growth", "Sampler", "growth_of"]

_KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Series:
    """One thing that is sampled.

    Attributes:
        title: what it is, with its unit.
        most_growth: by which share of its median it may grow from the end of the warm-up to the end of the run.
        least: growth below this, in the series' own unit, is none.
    """

    title: str
    most_growth: float
    least: float


#: What is sampled, by name.
SERIES: Mapping[str, Series] = {
    "parent_rss_mib": Series("memory of the largest parent, MiB", 0.02, 2.0),
    "parent_anon_mib": Series("anonymous memory of the largest parent, MiB", 0.03, 2.0),
    "process_rss_mib": Series("memory of the largest process, MiB", 0.03, 4.0),
    "process_anon_mib": Series("anonymous memory of the largest process, MiB", 0.05, 4.0),
    "open_files": Series("open files of the workers", 0.02, 4.0),
    "redis_keys": Series("keys in Redis", 0.05, 50.0),
    "redis_used_mib": Series("memory of Redis, MiB", 0.05, 2.0),
    "redis_channels": Series("channels that someone listens to", 0.02, 2.0),
    "redis_clients": Series("connections to Redis", 0.02, 2.0),
}


@dataclass(frozen=True)
class Growth:
    """How a series went on after the warm-up.

    Attributes:
        median: of its values.
        growth: by how much it grew to the end of the run, by its median slope.
        is_flat: whether that is no growth.
    """

    median: float
    growth: float
    is_flat: bool


def growth_of(name: str, times_s: Sequence[float], values: Sequence[float]) -> Growth:
    """Judge one series by the median slope between all pairs of samples (Theil and Sen): outliers count little.

    Args:
        name: of the series.
        times_s: when the samples after the warm-up were taken; at least two.
        values: the samples.
    """
    points = list(zip(times_s, values, strict=True))
    slopes = [(b - a) / (to - at) for i, (at, a) in enumerate(points) for to, b in points[i + 1 :] if to > at]
    growth = statistics.median(slopes) * (times_s[-1] - times_s[0])
    median, series = statistics.median(values), SERIES[name]
    return Growth(round(median, 2), round(growth, 2), growth <= max(series.least, series.most_growth * median))


class Sampler(threading.Thread):
    """Samples in a thread of its own.

    Args:
        fleet: the workers.
        url: the server.
        interval_s: the time between samples.
    """

    def __init__(self, fleet: Fleet, url: str, interval_s: float) -> None:
        super().__init__(name="chaos-sampler", daemon=True)
        self._fleet = fleet
        self._url = url
        self._interval_s = interval_s
        self._stops = threading.Event()
        self.times_s: list[float] = []
        self.samples: dict[str, list[float]] = {name: [] for name in SERIES}

    def stop(self) -> None:
        """Take no more samples."""
        self._stops.set()
        self.join()

    def run(self) -> None:
        """Sample until told to stop."""
        started_s = time.monotonic()
        while not self._stops.wait(self._interval_s):
            try:
                with redis.Redis.from_url(self._url, client_name=CLIENT_NAME) as server:
                    sample = {**_of_workers(self._fleet), **_of_redis(server)}
            except (RedisError, OSError, ValueError):
                # A process has just ended, or the server is restarted: the next sample sees more.
                continue
            self.times_s.append(round(time.monotonic() - started_s, 1))
            for name, value in sample.items():
                self.samples[name].append(round(value, 2))


def _of_workers(fleet: Fleet) -> dict[str, float]:
    parents = [member.pid for member in fleet.members]
    processes = [pid for member in fleet.members for pid in member.live_processes]
    return {
        "parent_rss_mib": max(_status_mib(pid, "VmRSS") for pid in parents),
        "parent_anon_mib": max(_status_mib(pid, "RssAnon") for pid in parents),
        "process_rss_mib": max(_status_mib(pid, "VmRSS") for pid in processes),
        "process_anon_mib": max(_status_mib(pid, "RssAnon") for pid in processes),
        "open_files": sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in [*parents, *processes]),
    }


def _status_mib(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / _KIB_PER_MIB
    raise ValueError(f"process {pid} has no {field}")


def _of_redis(server: redis.Redis) -> dict[str, float]:
    info: Any = server.info()
    channels: Any = server.pubsub_channels()
    return {
        "redis_keys": info.get("db0", {}).get("keys", 0),
        "redis_used_mib": info["used_memory"] / _KIB_PER_MIB**2,
        "redis_channels": len(channels) + int(server.pubsub_numpat()),
        "redis_clients": info["connected_clients"],
    }
