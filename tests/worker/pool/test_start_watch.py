"""A start that takes too long is ended; one that does not is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from examples.local_stack import PATIENCE_S
from worker.pool.celery_adapter import Timer
from worker.pool.start_watch import StartWatch


class Hub:
    """The part of kombu's event loop that is used; time passes when the test says so."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[..., object], tuple[object, ...]]] = []

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        raise NotImplementedError

    def remove_reader(self, fd: int) -> None:
        raise NotImplementedError

    def call_repeatedly(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        raise NotImplementedError

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> None:
        self.later.append((delay, callback, args))

    def pass_time(self) -> None:
        for _, callback, args in self.later:
            callback(*args)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


@pytest.mark.parametrize("is_up", [False, True])
def test_only_a_process_that_is_still_starting_is_killed(process: subprocess.Popen[bytes], is_up: bool) -> None:
    starting: list[Any] = [SimpleNamespace(pid=process.pid)]
    hub = Hub()
    StartWatch(lambda: starting, limit_s=7.0).begin(hub)
    assert [delay for delay, _, _ in hub.later] == [7.0]

    if is_up:
        starting.clear()
    hub.pass_time()

    if is_up:
        assert process.poll() is None
    else:
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
