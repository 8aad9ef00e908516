"""A process that leaves the same undone for too long is killed; one that goes on is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from examples.local_stack import PATIENCE_S
from worker.pool.hang_watch import HangWatch, Overdue


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def test_only_the_same_job_for_too_long_is_a_hang(process: subprocess.Popen[bytes]) -> None:
    jobs = iter(["job 1", "job 1", "job 2", None, "job 2", "job 2", "job 2"])

    def overdue() -> Iterator[Overdue]:
        job = next(jobs)
        if job:
            yield Overdue(process.pid, f"begun {job}")

    watch = HangWatch(overdue, patience_looks=3)
    for _ in range(6):
        watch.look()
    assert process.poll() is None

    watch.look()

    assert process.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_process_that_has_ended_by_itself_is_no_problem(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(PATIENCE_S)

    HangWatch(lambda: [Overdue(process.pid, "ended")], patience_looks=1).look()
