"""What metrics cost the parent of a worker: ``python -m benchmarks.metrics_cost``.

Two workers, one with metrics that are scraped as Prometheus does and one without, answer the same texts in turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean, median

from tqdm import tqdm

from benchmarks.processes import cpu_seconds
from examples.demo.texts import generate, read_examples
from examples.local_stack import LocalServer, LocalWorker, free_port
from producer import Client, TextClassificationRequest

_SCRAPE_S = 15.0


@dataclass
class _Side:
    """A worker on a server of its own, and what its parent took for a message in each round, in milliseconds."""

    worker: LocalWorker
    client: Client
    costs_ms: list[float]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics_cost", description=__doc__)
    parser.add_argument("--texts", type=int, default=300, help="of each worker in each round; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=20, help="default: %(default)s")
    options = parser.parse_args()
    texts = [TextClassificationRequest.parse({"inputs": text}) for text in generate(read_examples(), options.texts)]
    with ExitStack() as stack:
        port = free_port()
        off = _start(stack, {})
        on = _start(stack, {"CELERIAC_METRICS_PORT": str(port)})
        _scrape(stack, port)
        # What both meet for the first time is no cost of metrics.
        for side in (off, on):
            _answer(side, texts)
        for index in tqdm(range(options.rounds), unit="round"):
            for side in (off, on) if index % 2 else (on, off):
                before_s = cpu_seconds([side.worker.pid])
                _answer(side, texts)
                side.costs_ms.append((cpu_seconds([side.worker.pid]) - before_s) / len(texts) * 1000)
    ratios = [with_ / without for with_, without in zip(on.costs_ms, off.costs_ms, strict=True)]
    print(f"without metrics {fmean(off.costs_ms):.3f} ms CPU of the parent a message")
    print(f"with metrics    {fmean(on.costs_ms):.3f} ms")
    print(
        f"ratio of the means {fmean(on.costs_ms) / fmean(off.costs_ms):.3f}, median of the rounds' {median(ratios):.3f}"
    )
    print(f"by round {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    return 0


def _start(stack: ExitStack, variables: dict[str, str]) -> _Side:
    server = stack.enter_context(LocalServer())
    leases = stack.enter_context(tempfile.TemporaryDirectory())
    environment = {
        "CELERIAC_BROKER_URL": server.url,
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": leases,
        **variables,
    }
    worker = stack.enter_context(LocalWorker(environment=environment))
    worker.wait_until_ready()
    return _Side(worker, stack.enter_context(Client(server.url, timeout_s=300)), [])


def _answer(side: _Side, requests: list[TextClassificationRequest]) -> None:
    for request_id in [side.client.submit(request) for request in requests]:
        side.client.wait(request_id)


def _scrape(stack: ExitStack, port: int) -> None:
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(_SCRAPE_S):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
                reply.read()

    threading.Thread(target=scrape, daemon=True).start()
    stack.callback(done.set)


if __name__ == "__main__":
    sys.exit(main())
