"""What workers ask of Redis: ``python -m benchmarks.redis_load``.

Connections of one worker (CLIENT LIST), commands of an idle one and of a request (INFO commandstats, which counts what
scripts call too), and the server's CPU time of a request, its sender's part included. From these a ceiling is derived:
a server runs commands on one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery
from tqdm import tqdm

from examples.demo.load import run_bulk, run_callers
from examples.demo.texts import generate, read_examples
from examples.local_stack import LocalServer, LocalWorker
from producer import Client
from producer.contract import DEFAULT_QUEUE, QueueClass, TaskName, queue_name
from worker.workload.identity import WorkerIdentity
from worker.workload.queue_depth import DepthSampler

__all__ = ["Traffic", "between", "until_now"]

#: What the measurement itself asks.
_OWN_COMMANDS = frozenset({"info", "client|list"})
_TEXTS_PER_BULK = 64
_SHOWN_COMMANDS = 8


@dataclass(frozen=True)
class Traffic:
    """What a server did up to a moment, or between two.

    Attributes:
        length_s: the moment, of the monotonic clock, or the time between, in seconds.
        commands: how often each was called.
        cpu_s: its CPU time.
        received_bytes: from all clients.
        sent_bytes: to all clients.
    """

    length_s: float
    commands: Counter[str]
    cpu_s: float
    received_bytes: int
    sent_bytes: int

    @property
    def calls(self) -> int:
        """Commands of all kinds."""
        return self.commands.total()


def between(before: Traffic, after: Traffic) -> Traffic:
    """What the server did between two moments, without what was asked to find out."""
    commands = Counter(
        {
            name: count - before.commands[name]
            for name, count in after.commands.items()
            if name not in _OWN_COMMANDS and count > before.commands[name]
        }
    )
    return Traffic(
        after.length_s - before.length_s,
        commands,
        after.cpu_s - before.cpu_s,
        after.received_bytes - before.received_bytes,
        after.sent_bytes - before.sent_bytes,
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_load", description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=2000, help="of each kind of load (default: %(default)s)")
    parser.add_argument("--callers", type=int, default=32, help="that each wait for an answer (default: %(default)s)")
    parser.add_argument("--idle-s", type=int, default=20, help="seconds of watching it idle (default: %(default)s)")
    parser.add_argument("--looks", type=int, default=2000, help="of an autoscaler (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="of the worker (default: %(default)s)")
    parser.add_argument("--scales", action="store_true", help="processes follow the work (CELERIAC_PROCESSES_MIN=1)")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    options = parser.parse_args()
    found = _measure(options)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    return 0


def _measure(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    texts = generate(read_examples(), options.texts)
    messages = -(-options.texts // _TEXTS_PER_BULK)
    with LocalServer() as server, tempfile.TemporaryDirectory() as leases, redis.Redis.from_url(server.url) as own:
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_CORES_LEASE_DIR": leases,
            "CELERIAC_MODELS": "sentiment",
            "CELERIAC_PROCESSES_MAX": str(options.processes),
            **({"CELERIAC_PROCESSES_MIN": "1"} if options.scales else {}),
        }
        bar = tqdm(total=2 * (options.texts + options.idle_s) + options.looks, unit="step")
        nobody = _watch(own, lambda: _wait(options.idle_s, bar))
        with LocalWorker(environment=environment) as worker, bar:
            worker.wait_until_ready()
            with Client(server.url, timeout_s=120) as client:
                # A process connects to the result backend with its first answer.
                run_callers(client, texts, callers=options.callers, advance=lambda _: None)
                single = _watch(own, lambda: run_callers(client, texts, callers=options.callers, advance=bar.update))
                bulk = _watch(own, lambda: run_bulk(client, texts, per_message=_TEXTS_PER_BULK, advance=bar.update))
            # Of the measurement itself there is one connection left.
            connections = len(own.client_list()) - 1
            idle = _watch(own, lambda: _wait(options.idle_s, bar))
            processes = len(worker.processes)
        look = _watch(own, lambda: _look(server.url, options.looks, bar))
    return {
        "worker": {"connections": connections, "processes": processes},
        "nobody there, a second": _per(nobody, nobody.length_s),
        "an idle worker, a second": _per(idle, idle.length_s),
        "a look of its autoscaler": _per(look, options.looks),
        "message of one text": _per(single, options.texts),
        f"message of {_TEXTS_PER_BULK} texts": _per(bulk, messages),
    }


def _watch(server: redis.Redis, what: Callable[[], object]) -> Traffic:
    before = until_now(server)
    what()
    return between(before, until_now(server))


def until_now(server: redis.Redis) -> Traffic:
    """What a server did since it was started."""
    info: dict[str, Any] = server.info("all")
    prefix = "cmdstat_"
    commands = {name.removeprefix(prefix): stat["calls"] for name, stat in info.items() if name.startswith(prefix)}
    return Traffic(
        time.monotonic(),
        Counter(commands),
        info["used_cpu_user"] + info["used_cpu_sys"],
        info["total_net_input_bytes"],
        info["total_net_output_bytes"],
    )


def _wait(seconds: int, bar: Any) -> None:
    for _ in range(seconds):
        time.sleep(1)
        bar.update()


def _look(url: str, count: int, bar: Any) -> None:
    """What a worker that scales asks once a second, as one that serves a single task."""
    task = TaskName.TEXT_CLASSIFICATION
    queues = [DEFAULT_QUEUE, *(queue_name(task, queue_class) for queue_class in QueueClass)]
    with Celery("looks", broker=url, set_as_current=False) as app, app.connection_for_read() as connection:
        sampler = DepthSampler(app, WorkerIdentity.of_new_start("looks"), lambda: queues, lambda: 0.0)
        for _ in range(count):
            sampler.sample(connection.default_channel)
            bar.update()


def _per(traffic: Traffic, count: float) -> dict[str, Any]:
    return {
        "commands": round(traffic.calls / count, 2),
        "cpu_us": round(traffic.cpu_s / count * 1e6),
        "received_bytes": round(traffic.received_bytes / count),
        "sent_bytes": round(traffic.sent_bytes / count),
        "most_called": {name: round(calls / count, 2) for name, calls in traffic.commands.most_common(_SHOWN_COMMANDS)},
    }


def _print(found: dict[str, dict[str, Any]]) -> None:
    worker = found.pop("worker")
    print(f"{worker['connections']} connections of a worker with {worker['processes']} processes")
    for name, per in found.items():
        called = ", ".join(f"{command} {count:g}" for command, count in per["most_called"].items())
        print(
            f"{name}: {per['commands']:g} commands, {per['cpu_us']} µs of the server's CPU, "
            f"{per['received_bytes']} bytes in, {per['sent_bytes']} out ({called})"
        )
        if name.startswith("message"):
            print(f"  at most {1e6 / per['cpu_us']:.0f} such messages a second, with the server's one thread to itself")


if __name__ == "__main__":
    sys.exit(main())
