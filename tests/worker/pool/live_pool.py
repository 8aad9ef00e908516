"""A pool with real processes on a real event loop, without a worker around it.

Tests that use it run in an interpreter of their own (:func:`in_own_interpreter`), since the pool forks it.
"""

from __future__ import annotations

import ast
import functools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from celery import Celery
from celery.worker.request import Request
from kombu.asynchronous import Hub, set_event_loop
from kombu.message import Message
from kombu.serialization import dumps

from examples.local_stack import PATIENCE_S
from worker.pool import BatchLimits, BatchTask, Call, ComputedBatch, PoolHooks, ProcessExit, TaskPool, TaskResult
from worker.pool.exception_info import exception_of

_POLL_S = 0.005


def in_own_interpreter(test: Callable[[], None]) -> Callable[[], None]:
    """Run a test in a new interpreter, which has no threads and is safe to fork."""

    @functools.wraps(test)
    def run() -> None:
        code = f"from {test.__module__} import {test.__name__} as test; test.__wrapped__()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


class Recorder(PoolHooks):
    """Hooks that remember their calls."""

    batch_limits = BatchLimits(requests=4, cost=100, bulk_s=1.0)

    def __init__(self) -> None:
        self.grown: list[int] = []
        self.forked: list[tuple[int, set[int]]] = []
        self.started: list[tuple[int, int, int]] = []
        self.exits: list[tuple[ProcessExit, set[int], int]] = []
        self.batches: list[ComputedBatch] = []
        self.max_growth = 100

    def before_grow(self, count: int) -> None:
        self.grown.append(count)
        if count > self.max_growth:
            raise ValueError("no core is free")

    def before_fork(self, index: int, alive: Collection[int]) -> None:
        self.forked.append((index, set(alive)))

    def on_started(self, pid: int, up: int, wanted: int) -> None:
        self.started.append((pid, up, wanted))

    def on_exit(self, process: ProcessExit, alive: Collection[int], wanted: int) -> None:
        self.exits.append((process, set(alive), wanted))

    def on_batch(self, batch: ComputedBatch) -> None:
        self.batches.append(batch)

    def is_bulk(self, queue: str | None) -> bool:
        return queue == "bulk"

    def describe(self) -> dict[str, Any]:
        return {"described": True}


class LiveApp(Celery):
    """An app with hooks."""

    pool_hooks: PoolHooks = PoolHooks()


class Probe(BatchTask):
    """Answers with its process and the size of its batch."""

    name = "probe"
    acks_late = True

    def compute(self, calls: Sequence[Call]) -> Sequence[TaskResult]:
        for call in calls:
            if "wait_for" in call.kwargs:
                wait_for_file(call.kwargs["wait_for"])
        return [TaskResult({"pid": os.getpid(), "size": len(calls)}) for _ in calls]

    def batch_key(self, call: Call) -> Hashable:
        key: Hashable = call.kwargs.get("key")
        if key == "unknown":
            raise ValueError(key)
        return key

    def batch_cost(self, call: Call, body_bytes: int) -> int:
        assert body_bytes
        cost: int = call.kwargs.get("cost", 1)
        return cost

    def take_usage(self) -> str:
        return "usage"


def two() -> int:
    """A task's body."""
    return 2


def wait_for_file(path: str) -> None:
    """Touch ``path``.held, and wait until ``path`` exists; signals are handled meanwhile."""
    Path(f"{path}.held").touch()
    while not Path(path).exists():
        threading.Event().wait(_POLL_S)


class Sent(Request):
    """Celery's own request, which remembers what the pool reports."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.accepted_by: int | None = None
        #: What its task has returned, or its error.
        self.result: Any = None
        super().__init__(*args, **kwargs)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        self.accepted_by = pid
        super().on_accepted(pid, time_accepted)

    def on_success(self, failed__retval__runtime: Any, **kwargs: Any) -> None:
        failed, value, _ = failed__retval__runtime
        if not failed:
            self.result = ast.literal_eval(value)
        super().on_success(failed__retval__runtime, **kwargs)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> None:
        self.result = exception_of(exc_info)
        super().on_failure(exc_info, *args, **kwargs)


class LivePool:
    """A started pool and its event loop.

    Args:
        processes: their number.
        hooks: the app's.
        before_start: called with the app before the processes are forked.
        start_limit_s: ``worker_proc_alive_timeout``.
        options: further options of the pool.
    """

    def __init__(
        self,
        processes: int = 1,
        hooks: PoolHooks | None = None,
        before_start: Callable[[Celery], None] = lambda _: None,
        start_limit_s: float = PATIENCE_S,
        **options: Any,
    ) -> None:
        self.hooks = hooks or Recorder()
        self.app = LiveApp("live", broker="memory://", backend="disabled://", set_as_current=True)
        self.app.conf.worker_proc_alive_timeout = start_limit_s
        self.app.pool_hooks = self.hooks
        self.app.register_task(Probe())
        self.app.task(name="wait")(wait_for_file)
        self.app.task(name="two")(two)
        self.app.finalize()
        before_start(self.app)
        self.hub = Hub()
        set_event_loop(self.hub)
        self.pool = TaskPool(processes, app=self.app, initargs=(self.app, "live@here"), threads=False, **options)
        self._directory = tempfile.TemporaryDirectory(prefix="live-pool-")
        self._sent = self._paths = 0

    def __enter__(self) -> Self:
        self.pool.start()
        self.pool.register_with_event_loop(self.hub)
        # Otherwise a turn in which nothing happens takes a second.
        self.hub.call_repeatedly(_POLL_S, bool)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Celery's cold shutdown takes seconds.
        for process in self.processes:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        self.pool.terminate()
        self.hub.close()
        self._directory.cleanup()

    @property
    def processes(self) -> list[Any]:
        """Billiard's processes; none once the pool has stopped."""
        return list(self.pool._pool._pool) if self.pool._pool is not None else []

    def run_until(self, condition: Callable[[], object]) -> None:
        """Turn the event loop until a condition holds."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up_s
            self.hub.run_once()

    def wait_until_up(self) -> None:
        """Wait until every process has reported that it is up."""
        self.run_until(lambda: self.pool._pool.num_up == self.pool.num_processes)

    def turn(self, times: int = 5) -> None:
        """Turn the event loop a few times."""
        for _ in range(times):
            self.hub.run_once()

    def send(self, name: str = "probe", queue: str = "celery", *, acknowledged: bool = False, **kwargs: Any) -> Sent:
        """Pass a request to the pool, as Celery's consumer does."""
        self._sent += 1
        task_id = f"id-{self._sent}"
        task = self.app.tasks[name]
        content = self.app.amqp.as_task_v2(task_id, name, (), kwargs)
        content_type, encoding, body = dumps(content.body, "json")
        message = Message(
            body=body,
            content_type=content_type,
            content_encoding=encoding,
            headers=content.headers,
            properties=content.properties,
            delivery_info={"routing_key": queue},
        )
        request = Sent(message, app=self.app, task=task, hostname="live@here")
        request.acknowledged = acknowledged
        request.execute_using_pool(self.pool)
        return request

    def new_path(self) -> Path:
        """A path at which there is no file."""
        self._paths += 1
        return Path(self._directory.name) / str(self._paths)

    def hold(self, name: str = "probe") -> tuple[Sent, Path]:
        """Keep one process busy until the returned path exists."""
        gate = self.new_path()
        sent = self.send(name, wait_for=str(gate)) if name == "probe" else self.send(name, path=str(gate))
        self.run_until(Path(f"{gate}.held").exists)
        self.run_until(lambda: sent.accepted_by is not None)
        return sent, gate


def sizes(requests: Sequence[Sent]) -> list[int]:
    """How many requests were in the batch of each."""
    return [request.result["size"] for request in requests]
