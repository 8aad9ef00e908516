"""Where the parent's time for a message that does nothing goes: ``python -m benchmarks.transport_profile``.

Plain workers as in ``python -m benchmarks.transport``, one with stock kombu's transport and one with ours. What both
spend on the rest of Celery bounds the ratio that a transport can reach.
"""

from __future__ import annotations

import argparse
import sys

import redis
from tqdm import tqdm

from benchmarks.processes import cpu_seconds
from benchmarks.stack_samples import Parts, print_table, record, shares
from benchmarks.transport_worker import KINDS, NoopWorker
from examples.local_stack import LocalServer

_AT_ONCE = 1000
_PARTS: Parts = {
    "waiting (epoll)": ("kombu/utils/eventio.py",),
    "the transport": ("worker/transport/", "kombu/transport/", " (redis/"),
    "the pool and its pipes": ("celery/concurrency/", " (billiard/"),
    "Celery's consumer, strategy and request": ("celery/worker/", "celery/app/"),
    "decoding messages": ("kombu/message.py", "kombu/serialization.py", "kombu/messaging.py"),
    "the event loop": ("kombu/asynchronous/",),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transport_profile", description=__doc__)
    parser.add_argument("--seconds", type=int, default=15, help="how long py-spy looks (default: %(default)s)")
    parser.add_argument("--prefetch", type=int, default=64, help="messages held (default: %(default)s)")
    options = parser.parse_args()
    for kind in KINDS:
        _profile(kind, options.prefetch, options.seconds)
    return 0


def _profile(kind: str, prefetch: int, seconds: int) -> None:
    with (
        LocalServer() as server,
        NoopWorker(kind, server.url, prefetch=prefetch) as worker,
        redis.Redis.from_url(server.url) as keys,
    ):
        worker.wait_until_ready()
        worker.run_until_settled(keys, 200)
        before_s, done = cpu_seconds([worker.pid]), 0
        with record(worker.pid, seconds) as recording, tqdm(desc=kind, unit="message") as bar:
            while recording.goes_on:
                worker.run_until_settled(keys, _AT_ONCE)
                done += _AT_ONCE
                bar.update(_AT_ONCE)
            cost_ms = (cpu_seconds([worker.pid]) - before_s) / done * 1000
            found = shares(recording.stacks(), _PARTS)
    print_table(kind, cost_ms, found, "message")


if __name__ == "__main__":
    sys.exit(main())
