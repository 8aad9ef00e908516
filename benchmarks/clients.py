"""What a request costs a service, and what many leave behind: ``python -m benchmarks.clients``.

First, CPU time of this process for a request and its answer: both clients, one request after the other and many at
once, beside Celery's ``apply_async`` and ``get``; they take turns. Then one ``AsyncClient`` sends many requests: its
memory, its connections and channels while they run, and the keys without TTL afterwards. The worker and its model are
real.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import redis
from celery import Celery
from tqdm import tqdm

from benchmarks.machine import machine
from benchmarks.processes import rss_anon_mib
from examples.local_stack import LocalServer, LocalWorker
from producer import AsyncClient, CeleriacError, Client, TextClassificationRequest

_TEXT = "a charming and often affecting journey"
_TIMEOUT_S = 600.0
_SAMPLES = 20
_LOOKS, _BETWEEN_LOOKS_S = 100, 0.1
#: The contestant that the others are compared with.
_STOCK = "Celery apply_async + get"


@dataclass(frozen=True)
class Flood:
    """What many requests of one client have done.

    Attributes:
        requests: how many were sent.
        answered: how many were answered.
        seconds: how long it took.
        cpu_us: CPU time of this process for one request, in microseconds.
        rss_mib: anonymous memory of this process, at equal distances.
        connections: the most that the client had at once.
        channels: channels and new patterns that were subscribed to after the client was closed.
        lasting_keys: keys without TTL at the end.
    """

    requests: int
    answered: int
    seconds: float
    cpu_us: float
    rss_mib: list[float]
    connections: int
    channels: int
    lasting_keys: list[str]


def main() -> int:
    """Measure and print."""
    options = _parser().parse_args()
    with LocalServer() as server, tempfile.TemporaryDirectory() as leases:
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": "sentiment",
            "CELERIAC_CORES_LEASE_DIR": leases,
        }
        with LocalWorker(environment=environment) as worker:
            worker.wait_until_ready()
            costs = measure_costs(server.url, options.rounds, options.per_round, options.in_flight)
            flood = asyncio.run(measure_flood(server.url, options.requests, options.in_flight))
    if options.json:
        print(json.dumps({"machine": machine(), "cpu_us": costs, "flood": asdict(flood)}, indent=1))
    else:
        _print(costs, flood)
    return 0 if flood.answered == flood.requests else 1


def measure_costs(url: str, rounds: int, per_round: int, in_flight: int) -> dict[str, float]:
    """CPU time for a request and its answer, in microseconds, by contestant: medians of the rounds."""
    stock = Celery("stock", broker=url, backend=url, set_as_current=False)

    def ask_stock() -> None:
        for _ in range(per_round):
            stock.send_task("text-classification", kwargs={"inputs": _TEXT}).get(timeout=_TIMEOUT_S)

    async def ask_one_by_one() -> None:
        async with AsyncClient(url, timeout_s=_TIMEOUT_S) as client:
            for _ in range(per_round):
                await client.classify(_TEXT)

    async def ask_at_once() -> None:
        async with AsyncClient(url, timeout_s=_TIMEOUT_S) as client:
            gate = asyncio.Semaphore(in_flight)

            async def ask() -> None:
                async with gate:
                    await client.classify(_TEXT)

            await asyncio.gather(*(ask() for _ in range(per_round)))

    with Client(url, timeout_s=_TIMEOUT_S) as client:
        contestants: dict[str, Callable[[], object]] = {
            _STOCK: ask_stock,
            "Client.classify": lambda: [client.classify(_TEXT) for _ in range(per_round)],
            "Client.map": lambda: list(client.map(_requests(per_round), timeout_s=_TIMEOUT_S)),
            "AsyncClient.classify, one by one": lambda: asyncio.run(ask_one_by_one()),
            f"AsyncClient.classify, {in_flight} at once": lambda: asyncio.run(ask_at_once()),
        }
        seen: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in tqdm(range(rounds), desc="rounds"):
            for name, ask in contestants.items():
                started_s = time.process_time()
                ask()
                seen[name].append((time.process_time() - started_s) / per_round * 1e6)
    stock.close()
    return {name: statistics.median(costs) for name, costs in seen.items()}


async def measure_flood(url: str, requests: int, in_flight: int) -> Flood:
    """Send many requests from one client, at most ``in_flight`` at once."""
    numbers = iter(tqdm(range(requests), desc="requests"))
    rss_mib: list[float] = []
    answered = connections = 0
    with redis.Redis.from_url(url) as server:
        patterns_before = int(server.pubsub_numpat())  # those of the worker
        async with AsyncClient(f"{url}?client_name=flood", timeout_s=_TIMEOUT_S) as client:

            async def ask() -> None:
                nonlocal answered, connections
                for number in numbers:
                    if number % max(1, requests // _SAMPLES) == 0:
                        rss_mib.append(round(rss_anon_mib(os.getpid()), 1))
                        connections = max(connections, _connections(server))
                    try:
                        await client.classify(_TEXT)
                        answered += 1
                    except CeleriacError as error:
                        print(f"request {number}: {error}", file=sys.stderr)

            started_s, cpu_s = time.monotonic(), time.process_time()
            await asyncio.gather(*(ask() for _ in range(in_flight)))
            seconds, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_s
        rss_mib.append(round(rss_anon_mib(os.getpid()), 1))
        channels = await _channels_left(server, patterns_before)
        lasting = sorted(key.decode() for key in server.scan_iter() if server.ttl(key) == -1)
    return Flood(requests, answered, seconds, cpu_s / requests * 1e6, rss_mib, connections, channels, lasting)


async def _channels_left(server: redis.Redis, patterns_before: int) -> int:
    """The channels of results, and new patterns, once the server has seen that the client is gone."""
    left = 0
    for _ in range(_LOOKS):
        left = len(server.pubsub_channels("celery-task-meta-*")) + int(server.pubsub_numpat()) - patterns_before
        if not left:
            break
        await asyncio.sleep(_BETWEEN_LOOKS_S)
    return left


def _requests(count: int) -> list[TextClassificationRequest]:
    return [TextClassificationRequest.parse({"inputs": _TEXT}) for _ in range(count)]


def _connections(server: redis.Redis) -> int:
    return sum(connection["name"] == "flood" for connection in server.client_list())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clients", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000, help="of the one client (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=256, help="how many at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--per-round", type=int, default=300, help="requests in a turn (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _print(costs: dict[str, float], flood: Flood) -> None:
    for name, cost in costs.items():
        print(f"{name:<40} {cost:6.0f} µs CPU a request, {cost / costs[_STOCK]:.2f} of Celery's")
    print(
        f"AsyncClient: {flood.answered} of {flood.requests} answered in {flood.seconds:.0f} s, "
        f"{flood.cpu_us:.0f} µs CPU a request"
    )
    print(f"memory at equal distances: {', '.join(f'{size:.1f}' for size in flood.rss_mib)} MiB")
    print(f"connections: at most {flood.connections}; channels and patterns left: {flood.channels}")
    print(f"keys without TTL: {', '.join(flood.lasting_keys) or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
