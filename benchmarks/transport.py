"""Our transport beside stock kombu's, in turns: ``python -m benchmarks.transport``.

CPU time of a worker's parent per message that does nothing, by prefetch; the time of a lone message; how often idle
workers look per message; with ``--faults``, what is lost and repeated when the parent is killed under load, with a
pause held open between the fetch and what follows it.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
from tqdm import tqdm

from benchmarks.processes import cpu_seconds
from benchmarks.transport_worker import KINDS, NoopWorker, enqueue
from examples.local_stack import LocalServer


def main() -> int:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transport", description=__doc__)
    parser.add_argument("--messages", type=int, default=4000, help="for each figure of CPU time; default: %(default)s")
    parser.add_argument("--lone", type=int, default=60, help="messages one at a time; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--prefetch", type=int, nargs="*", default=[64, 4, 1], help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=8, help="idle ones that share a queue; default: %(default)s")
    parser.add_argument("--options", type=json.loads, default={}, help="transport options of ours, as JSON")
    parser.add_argument("--faults", action="store_true", help="kill workers instead")
    parser.add_argument("--kills", type=int, default=20, help="with --faults; default: %(default)s")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds, with --faults; default: %(default)s")
    parser.add_argument("--output", type=Path, help="JSON")
    options = parser.parse_args()
    figures = _faults(options) if options.faults else _speeds(options)
    print(json.dumps(figures, indent=2))
    if options.output:
        options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _speeds(options: argparse.Namespace) -> dict[str, Any]:
    seen: dict[str, dict[str, list[float]]] = {kind: {} for kind in KINDS}
    steps = options.rounds * len(KINDS) * (len(options.prefetch) + 1) + len(KINDS)
    with tqdm(total=steps, desc="measurements") as bar:
        for _ in range(options.rounds):
            for prefetch in options.prefetch:
                for kind in KINDS:
                    figure = _cpu_us(kind, prefetch, options)
                    seen[kind].setdefault(f"cpu_us_per_message_at_prefetch_{prefetch}", []).append(figure)
                    bar.update()
            for kind in KINDS:
                seen[kind].setdefault("lone_message_ms_p50", []).append(_lone_ms(kind, options))
                bar.update()
        for kind in KINDS:
            if kind == "ours":
                seen[kind]["looks_per_message"] = [_looks(options)]
            bar.update()
    return {kind: {name: round(statistics.median(v), 3) for name, v in seen[kind].items()} for kind in KINDS}


def _cpu_us(kind: str, prefetch: int, options: argparse.Namespace) -> float:
    """CPU time of the parent from the first to the last of many messages that wait in the queue."""
    with LocalServer() as server, NoopWorker(kind, server.url, prefetch=prefetch, options=options.options) as worker:
        worker.wait_until_ready()
        with redis.Redis.from_url(server.url) as keys:
            worker.run_until_settled(keys, 200)
            # Queued while the worker stands still, so that all of them wait when it goes on.
            worker.signal(signal.SIGSTOP)
            enqueue(keys, options.messages)
            before = cpu_seconds([worker.pid])
            worker.signal(signal.SIGCONT)
            worker.wait_for(lambda: settled(keys), 120)
            return (cpu_seconds([worker.pid]) - before) / int(options.messages) * 1e6


def _lone_ms(kind: str, options: argparse.Namespace) -> float:
    """From before the push to the moment at which the task runs, with nothing else to do; the median."""
    with LocalServer() as server, NoopWorker(kind, server.url, prefetch=64, options=options.options) as worker:
        worker.wait_until_ready()
        with redis.Redis.from_url(server.url) as keys:
            worker.run_until_settled(keys, 50)
            for _ in range(options.lone):
                time.sleep(0.02)
                enqueue(keys, 1, "stamp")
                worker.wait_for(lambda: settled(keys))
            times = keys.lrange("stamps", 0, -1)
        return float(statistics.median(map(float, times))) * 1000


def _looks(options: argparse.Namespace) -> float:
    """Fetches for each message that reaches one of many idle workers."""
    with LocalServer() as server, ExitStack() as stack, redis.Redis.from_url(server.url) as keys:
        for _ in range(options.workers):
            stack.enter_context(NoopWorker("ours", server.url, prefetch=64, options=options.options)).wait_until_ready()
        time.sleep(1)
        before, started_s = _commands(keys), time.monotonic()
        for _ in range(options.lone):
            enqueue(keys, 1)
            time.sleep(0.1)
        spent, lasted_s = _commands(keys) - before, time.monotonic() - started_s
        before, quiet_s = _commands(keys), time.monotonic()
        time.sleep(lasted_s)
        idle = (_commands(keys) - before) * lasted_s / (time.monotonic() - quiet_s)
        # Each message also costs the call that carries its acknowledgement.
        return (spent - idle) / int(options.lone) - 1


def _commands(keys: redis.Redis) -> int:
    stats: Any = keys.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


def settled(keys: redis.Redis) -> bool:
    """Whether every message is acknowledged."""
    return not keys.exists("celery", "unacked_index")


def _faults(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.transport_faults import run_faults

    with tqdm(total=len(KINDS) * options.kills, desc="kills") as bar:
        update: Callable[[], Any] = bar.update
        return {kind: run_faults(kind, options.kills, options.pause, options.options, update) for kind in KINDS}


if __name__ == "__main__":
    sys.exit(main())
