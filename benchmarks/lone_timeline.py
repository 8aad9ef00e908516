"""Where the milliseconds of a lone request go: ``python -m benchmarks.lone_timeline``.

Requests one at a time, with a pause that lets caches go cold, to a worker that notes when each passes its stations
(:mod:`benchmarks.lone_marks`). What the bare model takes when it is as cold is in the table of ``make bench``.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from tqdm import tqdm

from benchmarks.contestants.base import LONE_PAUSE_S
from examples.demo.texts import generate, read_examples
from examples.local_stack import LocalServer, LocalWorker
from producer import Client
from producer.contract import TextClassificationRequest

_FIRST, _SENT, _LAST = "begin", "validated and published", "the client has the answer"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lone_timeline", description=__doc__)
    parser.add_argument("--requests", type=int, default=100, help="default: %(default)s")
    options = parser.parse_args()
    texts = generate(read_examples(), options.requests)
    with tempfile.TemporaryDirectory() as room:
        marks = Path(room) / "marks"
        environment = {"CELERIAC_MODELS": "sentiment", "CELERIAC_CORES_LEASE_DIR": room, "LONE_MARKS": str(marks)}
        with LocalServer() as server:
            environment["CELERIAC_BROKER_URL"] = server.url
            with (
                LocalWorker(environment=environment, application="benchmarks.lone_marks") as worker,
                Client(server.url, timeout_s=30) as client,
            ):
                worker.wait_until_ready()
                for text in texts:  # the first time makes kernels for the shapes
                    client.wait(client.submit(TextClassificationRequest.parse({"inputs": text})))
                asked = [_ask(client, text) for text in tqdm(texts, unit="request")]
        seen = [_read(line) for line in marks.read_text().splitlines()]
    _print_table([sorted(_stations(begin_s, sent_s, end_s, seen)) for begin_s, sent_s, end_s in asked])
    return 0


def _ask(client: Client, text: str) -> tuple[float, float, float]:
    """When a request was begun with, when it was sent, and when its answer was there."""
    time.sleep(LONE_PAUSE_S)
    begin_s = time.time()
    request_id = client.submit(TextClassificationRequest.parse({"inputs": text}))
    sent_s = time.time()
    client.wait(request_id)
    return begin_s, sent_s, time.time()


def _read(line: str) -> tuple[float, str]:
    moment, _, station = line.partition(" ")
    return float(moment), station


def _stations(
    begin_s: float, sent_s: float, end_s: float, seen: Sequence[tuple[float, str]]
) -> Iterator[tuple[float, str]]:
    """Seconds after the beginning at which each station was passed first."""
    yield from ((0.0, _FIRST), (sent_s - begin_s, _SENT), (end_s - begin_s, _LAST))
    passed: set[str] = set()
    for moment_s, station in seen:
        if begin_s <= moment_s <= end_s and station not in passed:
            passed.add(station)
            yield moment_s - begin_s, station


def _print_table(requests: Sequence[Sequence[tuple[float, str]]]) -> None:
    """Print when each station is passed, and what the way to it takes; medians."""
    at_ms: dict[str, list[float]] = {}
    took_ms: dict[str, list[float]] = {}
    for stations in requests:
        for (before_s, _), (at_s, station) in itertools.pairwise(stations):
            at_ms.setdefault(station, []).append(at_s * 1000)
            took_ms.setdefault(station, []).append((at_s - before_s) * 1000)
    print("| | after, ms | of which this step |\n| --- | ---: | ---: |")
    for station in sorted(at_ms, key=lambda name: median(at_ms[name])):
        print(f"| {station} | {median(at_ms[station]):.1f} | {median(took_ms[station]):.1f} |")


if __name__ == "__main__":
    sys.exit(main())
