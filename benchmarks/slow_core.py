"""The largest legal message on a slow core: ``python -m benchmarks.slow_core``.

A worker with a model of DistilBERT's size and random weights is pinned to one core, and busy loops beside it take three
quarters of that core. It gets one message of 64 inputs of 512 tokens, under the default limits. Printed is what became
of the message, how long it took, and how often it was received and computed. The exit status is 1 unless it was
answered and computed once.

``ONEDNN_MAX_CPU_ISA=AVX2`` in the environment shows a CPU without VNNI.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from celery.result import AsyncResult
from tqdm import tqdm

from benchmarks.full_size import BENCHMARKS_CACHE, prepared_model
from benchmarks.processes import cpu_seconds
from examples.local_stack import LocalServer, LocalWorker
from models.engine.cpu import cpu_name, max_isa
from producer.contract import MAX_INPUTS, TaskName

_TASK = TaskName.TEXT_CLASSIFICATION.value
#: Longer than the 512 tokens that the model reads.
_TEXT = "a charming and often affecting journey " * 90
_BUSY_LOOP = "import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True:\n    pass"
_LOOK_S = 0.5


@dataclass(frozen=True)
class Outcome:
    """What became of the message.

    Attributes:
        state: Celery's state of the result, with the error if there is one.
        answers: how many inputs were answered.
        seconds: from sending until the result was there.
        share: of the core that the process had meanwhile, from 0 to 1.
        received: how often the worker received it.
        computed: how many requests the pool has handed to processes in all.
        left: messages in the queue or unacknowledged afterwards.
    """

    state: str
    answers: int
    seconds: float
    share: float
    received: int
    computed: int
    left: int

    @property
    def is_as_it_should_be(self) -> bool:
        """Whether it was answered, and computed once."""
        once = self.received == self.computed == 1
        return self.state == "SUCCESS" and self.answers == MAX_INPUTS and once and not self.left


def main() -> int:
    """Prepare the model where it is not, run, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.slow_core", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loops", type=int, default=3, help="busy loops on the worker's core (default: %(default)s)")
    parser.add_argument("--core", type=int, help="the worker's core (default: the last)")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds to wait (default: %(default)s)")
    parser.add_argument(
        "--cache", type=Path, default=BENCHMARKS_CACHE, help="where the model is made (default: %(default)s)"
    )
    options = parser.parse_args()
    model = prepared_model(options.cache.expanduser(), "distilbert")
    cores = os.sched_getaffinity(0)
    core = max(cores) if options.core is None else options.core
    os.sched_setaffinity(0, cores - {core} or cores)
    limit = f", limited to {max_isa()}" if max_isa() else ""
    print(f"{cpu_name()}{limit}; core {core} shared with {options.loops} busy loops")
    with tempfile.TemporaryDirectory() as directory, LocalServer() as server, _busy_loops(options.loops, core):
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": str(model.directory),
            "CELERIAC_CORES_LEASE_DIR": f"{directory}/leases",
            "CELERIAC_COMPILED_DIR": f"{directory}/compiled",
        }
        launcher = ["taskset", "--cpu-list", str(core)]
        with LocalWorker(["--concurrency=1"], environment, launcher=launcher) as worker:
            print(f"ready after {worker.wait_until_ready():.1f} s")
            outcome = _send_and_wait(server.url, worker, options.timeout)
            notes = [line for line in worker.log.splitlines() if "arithmetic" in line or "is ready on core" in line]
    print("\n".join(notes))
    print(
        f"{outcome.state}: {outcome.answers} answers after {outcome.seconds:.1f} s with {outcome.share:.0%} of a core; "
        f"received {outcome.received} times, computed {outcome.computed} times, {outcome.left} messages left"
    )
    return 0 if outcome.is_as_it_should_be else 1


@contextmanager
def _busy_loops(count: int, core: int) -> Iterator[None]:
    command = [sys.executable, "-c", _BUSY_LOOP.format(core=core)]
    loops = [subprocess.Popen(command) for _ in range(count)]  # noqa: S603 - a loop
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _send_and_wait(url: str, worker: LocalWorker, timeout_s: float) -> Outcome:
    with Celery(broker=url, backend=url, set_as_current=False) as app, redis.Redis.from_url(url) as server:
        started_s, before_s = time.monotonic(), cpu_seconds(worker.processes.values())
        sent = app.send_task(_TASK, kwargs={"inputs": [_TEXT] * MAX_INPUTS}, queue=_TASK)
        _watch(sent, worker, timeout_s)
        seconds = time.monotonic() - started_s
        share = (cpu_seconds(worker.processes.values()) - before_s) / seconds
        worker.wait_for(lambda: not server.hlen("unacked"))
        stats = app.control.inspect(timeout=60, limit=1).stats() or {}
        (pool,) = (one["pool"] for one in stats.values())
        left = int(server.llen(_TASK)) + int(server.hlen("unacked"))
        return Outcome(
            state=_state(sent),
            answers=len(sent.result) if sent.successful() else 0,
            seconds=seconds,
            share=share,
            received=worker.log.count(f"[{sent.id}] received"),
            computed=pool["batches"]["requests"],
            left=left,
        )


def _watch(sent: AsyncResult[Any], worker: LocalWorker, timeout_s: float) -> None:
    """Wait for the result, and show how long that takes.

    Raises:
        WorkerStartError: the worker has ended, or the time is up.
    """
    with tqdm(total=timeout_s, desc="waiting", bar_format="{desc}: {n:.0f} s of {total:.0f} {bar}") as bar:
        started_s = time.monotonic()

        def is_done() -> bool:
            bar.update(time.monotonic() - started_s - bar.n)
            time.sleep(_LOOK_S)
            return bool(sent.ready())

        worker.wait_for(is_done, timeout_s)


def _state(sent: AsyncResult[Any]) -> str:
    return str(sent.state) if sent.successful() else f"{sent.state} {sent.result!r}"


if __name__ == "__main__":
    sys.exit(main())
