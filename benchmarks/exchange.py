"""Models exchanged under load: ``python -m benchmarks.exchange``.

A real worker serves one of two revisions of a model while requests arrive without a pause, and takes the other one,
again and again. Printed is what became of the requests, how long an exchange took, the longest time without an answer,
and the memory before and after. The exit status is 1 where a request failed, or memory grew by more than 5 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from celery import Celery
from tqdm import tqdm

from benchmarks.machine import machine
from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from examples.local_stack.load import Load, LoadAnswer
from examples.local_stack.model_revisions import ModelRevisions
from worker.endpoints.procfs import resources_of

_NODE = "exchange@here"
_MARKS = "BA"
_MIB = 1024 * 1024
_MOST_GROWTH = 0.05


@dataclass(frozen=True)
class Memory:
    """Anonymous memory in bytes."""

    parent_bytes: int
    processes_bytes: int


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exchange", description=__doc__.splitlines()[0])
    parser.add_argument("--exchanges", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="of the worker (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=16, help="requests on their way (default: %(default)s)")
    parser.add_argument("--between", type=int, default=500, help="answers before each look (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as room, LocalServer() as server:
        revisions = ModelRevisions(Path(room) / "models")
        prepared = {revisions.prepare("A")}
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": "mine",
            "CELERIAC_MODEL_DIR": f"{room}/models",
            "CELERIAC_COMPILED_DIR": f"{room}/compiled",
            "CELERIAC_CORES_LEASE_DIR": f"{room}/leases",
        }
        arguments = ["-n", _NODE, f"--concurrency={options.processes}"]
        with LocalWorker(arguments, environment) as worker, _control(server) as control:
            worker.wait_until_ready()
            with Load(server.url, "mine", options.in_flight, PATIENCE_S) as load:
                load.wait_for_answers(options.between)
                before = _memory_of(worker)
                times_s = []
                for number in tqdm(range(options.exchanges), unit="exchange", disable=None):
                    prepared.add(revisions.prepare(_MARKS[number % len(_MARKS)]))
                    times_s.append(_exchange(control))
                    load.wait_for_answers(options.between)
                after = _memory_of(worker)
            return _report(load, prepared, times_s, (before, after))


@contextmanager
def _control(server: LocalServer) -> Iterator[Celery]:
    with Celery("control", broker=server.url, set_as_current=False) as app:
        yield app


def _exchange(app: Celery) -> float:
    started_s = time.monotonic()
    (reply,) = app.control.broadcast(
        "reload_models", {"wait": True}, destination=[_NODE], reply=True, timeout=PATIENCE_S, limit=1
    )
    if "ok" not in reply[_NODE]:
        raise RuntimeError(str(reply))
    return time.monotonic() - started_s


def _memory_of(worker: LocalWorker) -> Memory:
    def anonymous_bytes(pid: int) -> int:
        resources = resources_of(pid)
        if resources is None:
            raise RuntimeError(f"process {pid} has ended")
        return resources.anonymous_bytes

    return Memory(anonymous_bytes(worker.pid), sum(map(anonymous_bytes, worker.processes.values())))


def _report(load: Load, prepared: set[str], times_s: Sequence[float], memory: tuple[Memory, Memory]) -> int:
    answers = load.answers
    by_revision = Counter(answer.revision for answer in answers if not answer.error)
    failed = [answer for answer in answers if answer.error or answer.revision not in prepared]
    before, after = memory
    growth = {
        "parent": after.parent_bytes / before.parent_bytes - 1,
        "processes": after.processes_bytes / before.processes_bytes - 1,
    }
    facts = machine()
    print(f"{facts['processor']}, load {facts['load_before']}")
    print(f"{load.sent} requests, {len(answers)} answered, {len(failed)} failed; by revision: {dict(by_revision)}")
    print(
        f"{len(times_s)} exchanges: median {statistics.median(times_s):.1f} s, longest {max(times_s):.1f} s; "
        f"longest time without an answer: {_longest_silence_s(answers):.2f} s"
    )
    for name, old_bytes, new_bytes in (
        ("parent", before.parent_bytes, after.parent_bytes),
        ("processes", before.processes_bytes, after.processes_bytes),
    ):
        print(f"RssAnon, {name}: {old_bytes / _MIB:.1f} -> {new_bytes / _MIB:.1f} MiB ({growth[name]:+.1%})")
    return int(bool(failed) or len(answers) != load.sent or max(growth.values()) > _MOST_GROWTH)


def _longest_silence_s(answers: Sequence[LoadAnswer]) -> float:
    times_s = [answer.at_s for answer in answers]
    return max((later - earlier for earlier, later in pairwise(times_s)), default=0.0)


if __name__ == "__main__":
    sys.exit(main())
