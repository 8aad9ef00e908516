"""Ten times the load of one process, all at once, on a real worker: ``python -m benchmarks.step``.

A worker with one process, which may become two, first shows what one of them does; then messages arrive at ten times
that rate for some seconds. Printed is when there were two, when there was one again, and what became of the requests.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from celery import Celery
from tqdm import tqdm

from benchmarks.arrivals import poisson_arrivals
from examples.demo.texts import generate, read_examples
from examples.local_stack import LocalServer, LocalWorker
from producer import CeleriacError, Client, TextClassificationRequest

_SAMPLE_S = 0.05
_TEXTS_A_MESSAGE = 8
_CALIBRATION_MESSAGES = 150
_TIMES = 10
_QUEUE = TextClassificationRequest.task.value


@dataclass(frozen=True)
class Sample:
    """One look: seconds since the step, processes decided on and ready, messages in the queue or fetched."""

    at_s: float
    decided: int
    ready: int
    waiting: int


def main() -> int:
    """Measure, print, and plot where it is asked for; the exit status is 1 where a request failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="how long the step lasts (default: %(default)s)")
    parser.add_argument("--cooldown", type=float, default=10.0, help="CELERIAC_SCALE_COOLDOWN_S (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="write a PNG (needs the bench extra)")
    options = parser.parse_args()
    with LocalServer() as server, tempfile.TemporaryDirectory() as leases:
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": "sentiment",
            "CELERIAC_CORES_LEASE_DIR": leases,
            "CELERIAC_SCALE_COOLDOWN_S": f"{options.cooldown:g}",
        }
        with LocalWorker(["--autoscale=1,1"], environment) as worker, Client(server.url, timeout_s=300) as client:
            worker.wait_until_ready()
            capacity = _capacity(client)
            # What was needed a cooldown ago counts no more.
            time.sleep(options.cooldown + 2)
            with Celery(broker=server.url, set_as_current=False) as app:
                app.control.autoscale(max=2, min=1, reply=True, timeout=2)
            samples, answers, errors = _step(server, worker, client, _TIMES * capacity, options.seconds)
    print(f"one process does {capacity:.0f} messages of {_TEXTS_A_MESSAGE} texts a second")
    print(f"step of {options.seconds:g} s at {_TIMES} times that: {answers} answered, {errors} failed or lost")
    two = [sample for sample in samples if sample.ready > 1]
    print(f"two processes: decided {next(s.at_s for s in samples if s.decided > 1):.2f} s after the step, ", end="")
    print(f"ready after {two[0].at_s:.2f} s")
    empty_s = max(sample.at_s for sample in samples if sample.waiting)
    print(f"nothing left after {empty_s:.2f} s; one process again {two[-1].at_s - empty_s:.2f} s later")
    if options.plot:
        _plot(samples, options.seconds, options.plot)
    return 1 if errors else 0


def _requests(count: int) -> list[TextClassificationRequest]:
    texts = generate(read_examples(), count * _TEXTS_A_MESSAGE)
    starts = range(0, len(texts), _TEXTS_A_MESSAGE)
    return [TextClassificationRequest.parse({"inputs": texts[at : at + _TEXTS_A_MESSAGE]}) for at in starts]


def _capacity(client: Client) -> float:
    """Messages a second of one process, once it has met the shapes."""
    for _ in range(2):
        requests = _requests(_CALIBRATION_MESSAGES)
        started_s = time.monotonic()
        for request_id in [client.submit(request) for request in requests]:
            client.wait(request_id)
        per_second = len(requests) / (time.monotonic() - started_s)
    return per_second


def _step(
    server: LocalServer, worker: LocalWorker, client: Client, per_second: float, seconds: float
) -> tuple[list[Sample], int, int]:
    moments = poisson_arrivals(per_second, seconds, seed=1)
    requests = _requests(len(moments))
    started_s = time.monotonic()
    connected = redis.Redis.from_url(server.url)
    with connected, _watched(lambda: _look(connected, worker, started_s)) as samples:
        sent = []
        for moment, request in zip(moments, tqdm(requests, desc="sending", unit="message"), strict=True):
            time.sleep(max(0.0, started_s + moment - time.monotonic()))
            sent.append(client.submit(request))
        errors = 0
        for request_id in tqdm(sent, desc="answers", unit="message"):
            try:
                client.wait(request_id)
            except CeleriacError:
                errors += 1
        worker.wait_for(lambda: samples[-1].ready == 1, timeout_s=120)
    return samples, len(sent) - errors, errors


def _look(connected: redis.Redis, worker: LocalWorker, started_s: float) -> Sample:
    log = worker.log
    decided = 1 + log.count("from 1 to 2 processes") - log.count("from 2 to 1 processes")
    waiting = int(connected.llen(_QUEUE)) + int(connected.hlen("unacked"))
    return Sample(time.monotonic() - started_s, decided, len(worker.processes), waiting)


@contextmanager
def _watched(look: Callable[[], Sample]) -> Iterator[list[Sample]]:
    samples: list[Sample] = []
    done = threading.Event()

    def run() -> None:
        while not done.wait(_SAMPLE_S):
            samples.append(look())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def _plot(samples: Sequence[Sample], seconds: float, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 5), sharex=True)
    at_s = [sample.at_s for sample in samples]
    above.step(at_s, [sample.decided for sample in samples], where="post", label="decided")
    above.step(at_s, [sample.ready for sample in samples], where="post", label="ready")
    above.set_ylabel("processes")
    above.set_yticks([0, 1, 2])
    below.plot(at_s, [sample.waiting for sample in samples])
    below.set_ylabel("messages waiting")
    below.set_xlabel("seconds since the step")
    for axis in (above, below):
        axis.axvspan(0, seconds, alpha=0.15, label=f"arrivals at {_TIMES} times one process")
    above.legend(loc="center right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
