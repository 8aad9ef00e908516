"""What publishing one request costs a service, with our client and with Celery's: ``python -m benchmarks.publishing``.

CPU time of this process per request, the two taking turns; nobody consumes the requests.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from celery import Celery
from tqdm import tqdm

from examples.local_stack import LocalServer
from producer import Client, TextClassificationRequest

KWARGS = {"inputs": "a charming and often affecting journey"}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publishing", description=__doc__)
    parser.add_argument("--requests", type=int, default=500, help="per round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    options = parser.parse_args()
    with LocalServer() as server, Client(server.url) as client:
        stock = Celery("stock", broker=server.url, backend=server.url, set_as_current=False)
        contestants: dict[str, Callable[[], object]] = {
            "producer.Client.submit": lambda: client.submit(TextClassificationRequest.parse(KWARGS)),
            "Celery.send_task": lambda: stock.send_task("text-classification", kwargs=KWARGS),
        }
        costs: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in tqdm(range(options.rounds), desc="rounds"):
            for name, publish in contestants.items():
                started_s = time.process_time()
                for _ in range(options.requests):
                    publish()
                costs[name].append((time.process_time() - started_s) / options.requests * 1e6)
        stock.close()
    ours, theirs = (statistics.median(seen) for seen in costs.values())
    for name, cost in zip(costs, (ours, theirs), strict=True):
        print(f"{name:<24} {cost:6.0f} µs CPU a request")
    print(f"ours / Celery's: {ours / theirs:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
