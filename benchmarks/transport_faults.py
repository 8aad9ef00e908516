"""Kill a worker's parent again and again while messages flow, and count what never ran and what ran twice."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis

from benchmarks.transport_worker import NoopWorker, enqueue
from examples.local_stack import LocalServer

__all__ = ["run_faults"]

_BACKLOG, _BATCH = 60, 20
_OPTIONS = {
    "visibility_timeout": 5,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 3,
}


def run_faults(
    kind: str, kills: int, pause_s: float, options: Mapping[str, Any], progress: Callable[[], Any]
) -> dict[str, int]:
    """Lost and repeated messages over some kills of workers that hold 16 messages.

    Returns:
        How many messages were sent, never ran, and ran how many times too often.
    """
    dice = random.Random(1)  # noqa: S311 - when to kill
    sent = 0
    all_options = {**_OPTIONS, **options}
    with LocalServer() as server, redis.Redis.from_url(server.url) as keys:
        for _ in range(kills):
            worker = NoopWorker(kind, server.url, prefetch=16, options=all_options, pause_s=pause_s)
            with worker:
                until_s = None
                ran = keys.hlen("runs")
                while until_s is None or time.monotonic() < until_s:
                    if int(keys.llen("celery")) < _BACKLOG:
                        enqueue(keys, _BATCH, "count", first=sent)
                        sent += _BATCH
                    if until_s is None and keys.hlen("runs") != ran:
                        until_s = time.monotonic() + dice.uniform(0.3, 1.5)
                    time.sleep(0.005)
                _kill(worker)
            progress()
        with NoopWorker(kind, server.url, prefetch=16, options=all_options) as worker:
            worker.wait_for(lambda: not keys.exists("celery", "unacked_index"), 90)
        runs: Any = keys.hvals("runs")
        return {"sent": sent, "lost": sent - len(runs), "repeated": sum(map(int, runs)) - len(runs)}


def _kill(worker: NoopWorker) -> None:
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text(encoding="ascii").split()
    worker.signal(signal.SIGKILL)
    worker.wait_for_exit()
    deadline_s = time.monotonic() + 5
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline_s:
        time.sleep(0.01)
