"""How often one request enters each room, from ``Client.classify`` to the answer: ``python -m benchmarks.room_walk``.

A room is a folder or a file of a package. A call counts when it comes from another room, from Celery, or from kombu.
What a worker does meanwhile without a request (timers, polls) is measured too, and subtracted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from benchmarks.room_walk_worker import RoomCounter
from examples.local_stack import LocalServer, LocalWorker
from producer import Client

_SETTLE_S = 0.5
_TEXT = "a charming and often affecting journey"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.room_walk", description=__doc__)
    parser.add_argument("--requests", type=int, default=50, help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, LocalServer() as server:
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": "sentiment",
            "CELERIAC_PROCESSES_MAX": "1",
            "CELERIAC_CORES_LEASE_DIR": directory,
            "ROOM_WALK": directory,
        }
        with (
            LocalWorker(environment=environment, application="benchmarks.room_walk_worker") as worker,
            Client(server.url, timeout_s=30) as client,
        ):
            worker.wait_until_ready()
            client.classify(_TEXT)
            walked = _walk(client, options.requests, Path(directory))
    _print_table(walked, options.requests)
    return 0


def _walk(client: Client, requests: int, directory: Path) -> dict[str, Counter[str]]:
    """Calls into each room by kind of process, for all requests together."""
    before = _read(directory)
    counter = RoomCounter()
    started_s = time.monotonic()
    for _ in tqdm(range(requests), unit="request"):
        counter.start()
        client.classify(_TEXT)
        counter.stop()
    busy_s = time.monotonic() - started_s
    after = _read(directory)
    time.sleep(busy_s)
    idle = _read(directory)
    walked = {"caller": counter.entered}
    for kind, counts in after.items():
        walked[kind] = (counts - before[kind]) - (idle[kind] - counts)
    return walked


def _read(directory: Path) -> dict[str, Counter[str]]:
    """The counts that the worker has written, once they cover all that has happened."""
    time.sleep(_SETTLE_S)
    counts: dict[str, Counter[str]] = {"parent": Counter(), "process": Counter()}
    for path in directory.glob("*.json"):
        counts[path.name.partition("-")[0]].update(json.loads(path.read_text(encoding="utf-8")))
    return counts


def _print_table(walked: dict[str, Counter[str]], requests: int) -> None:
    print("| process | room | entered per request |\n| --- | --- | ---: |")
    for kind in ("caller", "parent", "process"):
        for room, count in walked[kind].most_common():
            if count >= requests / 10:
                print(f"| {kind} | {room} | {count / requests:.1f} |")


if __name__ == "__main__":
    sys.exit(main())
