"""A worker that is told to stop: nothing is lost, what waits is given back at once, and no error is reported.

The only process is stopped (SIGSTOP) while it computes, so whatever its parent does then, it does without it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker, WorkerStartError
from producer import Client, TextClassificationRequest
from tests.integration.sentry_sink import SentrySink
from tests.worker.pool.pool_stack import Events

QUEUE = "text-classification"
#: So long that nothing is written to the process behind it.
LONG = TextClassificationRequest.parse({"inputs": ["a long walk along the shore " * 60] * 8})
SHORT = TextClassificationRequest.parse({"inputs": "good"})
NEVER_S = 3600
_SUCCEEDED = re.compile(r"\[([0-9a-f-]{36})\] succeeded")


class Drained:
    """A worker whose one process is stopped with one request, while others and one with a countdown wait.

    Args:
        worker: the worker, which leads a process group of its own.
        server: its server.
        celery: plain Celery on it.
    """

    def __init__(self, worker: LocalWorker, server: LocalServer, celery: Celery) -> None:
        self.worker = worker
        self._redis = redis.Redis.from_url(server.url)
        (self._process,) = worker.processes.values()
        later: str = celery.send_task(QUEUE, kwargs={"inputs": "good"}, countdown=NEVER_S).id
        worker.wait_for(lambda: f"[{later}] received" in worker.log)
        with Client(server.url, timeout_s=PATIENCE_S) as client:
            self.running = client.submit(LONG)
            worker.wait_for(lambda: f"[{self.running}] received" in worker.log)
            self._until_busy()
            os.kill(self._process, signal.SIGSTOP)
            self.shorts = [client.submit(SHORT) for _ in range(20)]
        self.waiting = [*self.shorts, later]
        # The worker does not fetch all of them where its process is so slow that it has enough to do.
        worker.wait_for(lambda: f"[{self.shorts[0]}] received" in worker.log)

    def _until_busy(self) -> None:
        """Wait until the process has used some of the processor for the request."""
        begun = _cpu_ticks(self._process)
        self.worker.wait_for(lambda: _cpu_ticks(self._process) > begun + 2)

    def tell(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the parent, or to all processes of the worker."""
        (os.killpg if group else os.kill)(self.worker.pid, number)

    def until_heeded(self, signals: int) -> None:
        """Wait until the parent has heeded so many signals, or has ended."""

        def is_heeded() -> bool:
            return len(re.findall(r"worker: (?:Warm|Cold) shutdown", self.worker.log)) >= signals

        self.until(lambda: self.worker.has_ended or is_heeded())

    def go_on(self) -> None:
        """Let the process compute again."""
        os.kill(self._process, signal.SIGCONT)

    def queued(self) -> list[str]:
        """The ids of the requests that any worker may take, sorted."""
        return sorted(json.loads(raw)["headers"]["id"] for name in (QUEUE, "celery") for raw in self._list(name))

    def unacknowledged(self) -> int:
        """How many requests a worker holds."""
        return int(self._redis.hlen("unacked"))

    def is_answered(self, task_id: str) -> bool:
        """Whether a result is stored."""
        return bool(self._redis.exists(f"celery-task-meta-{task_id}"))

    def _list(self, name: str) -> list[bytes]:
        return [element for element in self._redis.lrange(name, 0, -1) if isinstance(element, bytes)]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, whether or not the worker lives."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up_s, f"{self.unacknowledged()} held, {len(self.queued())} queued"
            with suppress(WorkerStartError):
                self.worker.wait_for(condition, timeout_s=0.1)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture
def sink() -> Iterator[SentrySink]:
    with SentrySink() as started:
        yield started


@pytest.fixture
def environment(own_environment: dict[str, str], sink: SentrySink) -> dict[str, str]:
    return {
        **own_environment,
        "CELERIAC_SENTRY_DSN": sink.dsn,
        "CELERIAC_CORES_ALLOW_SHARING": "true",
        "CELERIAC_LIMITS_HELD_WORK_S": "15",
        "CELERIAC_TIME_SOFT_LIMIT_S": "3600",
        "CELERIAC_TIME_HARD_LIMIT_S": "3700",
        "CELERIAC_TIME_VISIBILITY_TIMEOUT_S": "3800",
    }


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[LocalWorker]:
    with LocalWorker(["--concurrency=1"], environment, launcher=["setsid"]) as started:
        started.wait_until_ready()
        yield started
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGCONT)


@pytest.fixture
def drained(worker: LocalWorker, own_server: LocalServer, own_stock: Celery) -> Drained:
    return Drained(worker, own_server, own_stock)


@pytest.fixture
def events(drained: Drained, own_stock: Celery) -> Iterator[Events]:
    # Its heartbeat shows that this listens.
    assert not drained.worker.has_ended
    heard = Events(own_stock)
    heard.start()
    yield heard
    heard.stop()


def assert_nobody_complains(drained: Drained, sink: SentrySink, events: Events) -> None:
    """No error is logged or reported, and no request is said to have failed."""
    log = drained.worker.log
    assert not re.findall(r".*(?:ERROR|CRITICAL|Traceback).*", log)
    assert "died" not in log
    assert sink.events == []
    said = {kind for task_id in (drained.running, *drained.waiting) for kind in events.types_of(task_id)}
    assert said <= {"task-received", "task-started", "task-succeeded"}


@pytest.mark.parametrize(
    ("number", "group", "status"),
    [
        pytest.param(signal.SIGTERM, False, 0, id="SIGTERM"),
        pytest.param(signal.SIGTERM, True, 0, id="SIGTERM to the group"),
        pytest.param(signal.SIGINT, True, 1, id="SIGINT to the group"),
    ],
)
def test_what_waits_is_given_back_at_once_and_what_runs_is_finished(
    drained: Drained, sink: SentrySink, events: Events, number: signal.Signals, group: bool, status: int
) -> None:
    drained.tell(number, group=group)

    # The process has not gone on.
    drained.until(lambda: drained.queued() == sorted(drained.waiting))
    assert drained.unacknowledged() == 1
    assert not drained.is_answered(drained.running)

    drained.go_on()
    assert drained.worker.wait_for_exit() == status
    assert drained.is_answered(drained.running)
    assert drained.unacknowledged() == 0
    assert drained.queued() == sorted(drained.waiting)
    assert_nobody_complains(drained, sink, events)


def test_another_worker_answers_what_was_given_back_while_the_first_still_runs(
    drained: Drained, environment: dict[str, str], own_server: LocalServer
) -> None:
    with (
        LocalWorker(["--concurrency=1", "--hostname=other@%h"], environment) as other,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
        drained.tell(signal.SIGTERM, group=True)
        assert all(client.wait(task_id).result for task_id in drained.shorts)

        drained.go_on()
        assert client.wait(drained.running).result
        assert drained.worker.wait_for_exit() == 0
        other.wait_for(lambda: len(_SUCCEEDED.findall(other.log)) == len(drained.shorts))
        computed = Counter(_SUCCEEDED.findall(drained.worker.log) + _SUCCEEDED.findall(other.log))
    assert computed == Counter([drained.running, *drained.shorts])


@pytest.mark.parametrize(
    ("first", "then", "group"),
    [
        pytest.param(signal.SIGTERM, signal.SIGTERM, False, id="SIGTERM twice"),
        pytest.param(signal.SIGTERM, signal.SIGTERM, True, id="SIGTERM to the group twice"),
        pytest.param(signal.SIGTERM, signal.SIGQUIT, False, id="SIGTERM and SIGQUIT"),
        pytest.param(signal.SIGQUIT, None, False, id="SIGQUIT"),
        pytest.param(signal.SIGQUIT, None, True, id="SIGQUIT to the group"),
    ],
)
def test_in_a_hurry_what_runs_is_given_back_too(
    drained: Drained, sink: SentrySink, events: Events, first: signal.Signals, then: signal.Signals | None, group: bool
) -> None:
    drained.tell(first, group=group)
    if then is not None:
        drained.until(lambda: drained.queued() == sorted(drained.waiting))
        told = 0
        while not drained.worker.has_ended and (told == 0 or then is signal.SIGTERM):
            told += 1
            with suppress(ProcessLookupError):
                drained.tell(then, group=group)
            drained.until_heeded(told + 1)
            # Within a second of the first, the same signal counts as the same order: it is repeated, as people do.
            again_s = time.monotonic() + 1
            drained.until(lambda: drained.worker.has_ended or time.monotonic() > again_s)  # noqa: B023 - called here

    # The process never goes on.
    drained.worker.wait_for_exit()
    assert drained.queued() == sorted([drained.running, *drained.waiting])
    assert drained.unacknowledged() == 0
    assert not drained.is_answered(drained.running)
    assert_nobody_complains(drained, sink, events)


class TestGrace:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "CELERIAC_TIME_SHUTDOWN_S": "2"}

    def test_what_has_not_ended_in_the_grace_is_given_back(
        self, drained: Drained, sink: SentrySink, events: Events
    ) -> None:
        drained.tell(signal.SIGTERM)

        assert drained.worker.wait_for_exit() == 0
        assert drained.queued() == sorted([drained.running, *drained.waiting])
        assert drained.unacknowledged() == 0
        assert "has not ended in 1.5 s: it is given back" in drained.worker.log
        assert_nobody_complains(drained, sink, events)
