"""Workers restarted under load: ``python -m benchmarks.drains``.

Two workers of one process each answer a client that sends without a pause. In turn each is told to stop, in one of four
ways, and started again. Printed is how long each exit took, against ``CELERIAC_TIME_SHUTDOWN_S``, and what became of
the requests: an answer counts as often as the server stores it. With ``--other`` every second start is of the worker in
another checkout, as in a rolling update. The exit status is 1 where a request was lost, failed or was answered twice,
where a worker logged an error, or where an exit took longer than its grace.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Self

import redis
from tqdm import tqdm

from benchmarks.machine import machine
from config import load_settings
from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from examples.local_stack.load import Load

_HERE = Path(__file__).resolve().parents[1]
_NODES = ("a@here", "b@here")
_TEXT = "a long walk along the shore, and nobody has complained about it so far " * 20
#: A second signal comes once the first is heeded, and counts as another order after a second.
_AGAIN_S = 1.2
_SUCCEEDED = re.compile(r"\[([0-9a-f-]{36})\] succeeded")
_ERROR = re.compile(r".*(?:ERROR|CRITICAL)/.*")


@dataclass(frozen=True)
class Drain:
    """One exit.

    Attributes:
        how: the signal.
        other: whether the worker was of the other checkout.
        seconds: from the signal to the end of the parent process.
        status: its exit status.
    """

    how: str
    other: bool
    seconds: float
    status: int


class Restarted:
    """A worker that is stopped and started again, and what all its starts have logged.

    Args:
        node: its name.
        environment: its settings.
        directories: the checkouts that it is started from, in turn.
    """

    def __init__(self, node: str, environment: Mapping[str, str], directories: Sequence[Path]) -> None:
        self._node, self._environment = node, environment
        self._directories = cycle(directories)
        self.errors: list[str] = []
        self.computed: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        """Start it, in a process group of its own."""
        self.directory = next(self._directories)
        arguments = ["--concurrency=1", "-n", self._node]
        self.worker = LocalWorker(arguments, self._environment, self.directory, launcher=["setsid"])
        self.worker.start()

    def stop(self, how: str) -> Drain:
        """Stop it in one of the ways of :data:`_WAYS`."""
        started_s = time.monotonic()
        _WAYS[how](self.worker.pid)
        status = self.worker.wait_for_exit()
        seconds = time.monotonic() - started_s
        self.computed.update(_SUCCEEDED.findall(self.worker.log))
        self.errors += _ERROR.findall(self.worker.log)
        self.worker.__exit__(None, None, None)
        return Drain(how, self.directory != _HERE, seconds, status)


class StoredAnswers:
    """Counts how often the server stores each answer, until the end of the block."""

    def __init__(self, url: str) -> None:
        self.counts: Counter[str] = Counter()
        self._redis = redis.Redis.from_url(url)

    def __enter__(self) -> Self:
        self._redis.config_set("notify-keyspace-events", "E$")
        self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(**{"__keyevent@0__:set": self._count})
        self._thread = self._pubsub.run_in_thread(daemon=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()
        self._thread.join()
        self._redis.close()

    def _count(self, message: Mapping[str, bytes]) -> None:
        self.counts[message["data"].decode()] += 1


def _twice(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    time.sleep(_AGAIN_S)
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


_WAYS: Mapping[str, Callable[[int], None]] = {
    "SIGTERM": lambda pid: os.kill(pid, signal.SIGTERM),
    "SIGTERM to the group": lambda pid: os.killpg(pid, signal.SIGTERM),
    "SIGTERM twice": _twice,
    "SIGQUIT": lambda pid: os.kill(pid, signal.SIGQUIT),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drains", description=__doc__.splitlines()[0])
    parser.add_argument("--drains", type=int, default=50, help="how many (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=64, help="requests on their way (default: %(default)s)")
    parser.add_argument("--between", type=int, default=20, help="answers between two drains (default: %(default)s)")
    parser.add_argument("--other", type=Path, help="a checkout from which every second worker is started")
    parser.add_argument("--way", choices=[*_WAYS], help="stop in this way only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.other is not None and not (options.other / "worker").is_dir():
        parser.error(f"--other: there is no worker in {options.other}")
    directories = [_HERE] if options.other is None else [options.other.resolve(), _HERE]
    with tempfile.TemporaryDirectory() as room, LocalServer() as server:
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": "sentiment",
            "CELERIAC_CORES_LEASE_DIR": f"{room}/leases",
            "CELERIAC_CORES_ALLOW_SHARING": "true",
        }
        workers = [Restarted(node, environment, directories) for node in _NODES]
        try:
            with StoredAnswers(server.url) as stored:
                with Load(server.url, "sentiment", options.in_flight, PATIENCE_S, text=_TEXT) as load:
                    drains = _drain_all(workers, load, options)
                for one in workers:
                    one.stop("SIGTERM")
        finally:
            for one in workers:
                one.worker.stop()
    return _report(load, drains, workers, stored.counts, as_json=options.json)


def _drain_all(workers: Sequence[Restarted], load: Load, options: argparse.Namespace) -> list[Drain]:
    for one in workers:
        one.worker.wait_until_ready()
    ways = cycle([options.way] if options.way else _WAYS)
    drains = []
    for number in tqdm(range(options.drains), unit="drain", disable=None):
        load.wait_for_answers(options.between)
        one = workers[number % len(workers)]
        drains.append(one.stop(next(ways)))
        one.start()
        one.worker.wait_until_ready()
    return drains


def _report(
    load: Load, drains: Sequence[Drain], workers: Sequence[Restarted], stored: Mapping[str, int], *, as_json: bool
) -> int:
    grace_s = load_settings().time.shutdown_s
    errors = [line for one in workers for line in one.errors]
    computed = sum((one.computed for one in workers), Counter[str]())
    failed = [answer.error for answer in load.answers if answer.error]
    twice = sum(count > 1 for name, count in stored.items() if name.startswith("celery-task-meta-"))
    answered = sum(name.startswith("celery-task-meta-") for name in stored)
    late = [drain for drain in drains if drain.seconds > grace_s]
    found = {
        "machine": machine(),
        "grace_s": grace_s,
        "sent": load.sent,
        "answered": len(load.answers) - len(failed),
        "lost_or_failed": load.sent - min(answered, len(load.answers)) + len(failed),
        "answered_twice": twice,
        "computed_again": sum(computed.values()) - len(computed),
        "errors_logged": len(errors),
        "exits_after_the_grace": len(late),
        "drains": [asdict(drain) for drain in drains],
    }
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        facts = machine()
        print(f"{facts['processor']}, load {facts['load_before']}")
        print(
            f"{load.sent} requests, {found['lost_or_failed']} lost or failed, {twice} answered twice, "
            f"{found['computed_again']} computed again because a killed process had not stored them, "
            f"{len(errors)} errors logged; {len(drains)} drains, {len(late)} after the grace of {grace_s:g} s"
        )
        for how in _WAYS:
            some = [drain for drain in drains if drain.how == how]
            if some:
                seconds = [drain.seconds for drain in some]
                statuses = ", ".join(map(str, sorted({drain.status for drain in some})))
                print(
                    f"{how}: {len(some)}, median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s, "
                    f"status {statuses}"
                )
        for line in [*failed, *errors][:20]:
            print(line)
    return int(bool(found["lost_or_failed"] or twice or errors or late))


if __name__ == "__main__":
    sys.exit(main())
