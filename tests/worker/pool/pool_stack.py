"""A worker of :mod:`tests.worker.pool.pool_app`, its client and its events, for tests of the pool."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from celery import Celery
from celery.result import AsyncResult

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from tests.conftest import forget_results
from tests.worker.pool.pool_app import CONFIG_VARIABLE, LOADING_VARIABLE, NOTES_VARIABLE

OURS = "worker.pool:TaskPool"
STOCK = "prefork"
#: For what Celery's own pool does not promise.
OURS_ONLY = pytest.mark.parametrize("stack", [OURS], indirect=True, ids=["ours"])
#: Each of these is the last event of a request.
LAST_EVENTS = frozenset({"task-succeeded", "task-failed", "task-revoked", "task-rejected"})
#: How long a worker may take to stop at the end of a test, in seconds. Other tests are about how it stops.
_STOP_S = 10.0


class Events:
    """All events of a worker, by request id, as a monitor such as Flower receives them."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._listening = threading.Event()
        self._receiver: Any = None
        self._stopped = False
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def of(self, result: AsyncResult) -> list[str]:
        """The types of a request's events, in order."""
        return self.types_of(result.id)

    def types_of(self, task_id: str) -> list[str]:
        """The same, by id."""
        return [event["type"] for event in tuple(self._seen[task_id])]

    def last(self, result: AsyncResult) -> dict[str, Any]:
        """A request's last event."""
        return self._seen[result.id][-1]

    def start(self) -> None:
        """Listen. The worker must be up: its heartbeat shows that this listens."""
        self._thread.start()
        assert self._listening.wait(PATIENCE_S)

    def stop(self) -> None:
        """Stop listening."""
        self._stopped = True
        self._receiver.should_stop = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def _listen(self) -> None:
        # A test may close all connections.
        while not self._stopped:
            with self._app.connection() as connection:
                self._receiver = self._app.events.Receiver(connection, handlers={"*": self._on_event})
                with suppress(*connection.connection_errors):
                    self._receiver.capture(limit=None, timeout=None, wakeup=False)

    def _on_event(self, event: dict[str, Any]) -> None:
        self._listening.set()
        if event["type"].startswith("task-"):
            self._seen[event["uuid"]].append(event)


class PoolStack:
    """A server, a worker of the test app on it, and a client that knows its tasks by name only.

    Args:
        directory: an empty directory.
        pool: :data:`OURS` or :data:`STOCK`.
        arguments: further arguments of the worker.
        config: further configuration of the app.
        server: the server; one of its own by default.
    """

    def __init__(
        self,
        directory: Path,
        pool: str = OURS,
        arguments: Sequence[str] = ("--concurrency=1",),
        config: Mapping[str, Any] | None = None,
        server: LocalServer | None = None,
    ) -> None:
        self.directory = directory
        self.is_ours = pool == OURS
        self._owns_server = server is None
        self.server = server or LocalServer()
        self._pool = pool
        self._arguments = arguments
        self._config = config or {}
        self._gates = count()
        self.notes_path = directory / "notes"
        #: While this file exists, starting processes wait.
        self.loading_path = directory / "loading"

    def __enter__(self) -> Self:
        if self._owns_server:
            self.server.start()
        self.client = Celery("client", broker=self.server.url, backend=self.server.url, set_as_current=False)
        self.worker = self._new_worker()
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "events" in vars(self):
            self.events.stop()
        # An orderly stop, since a killed process does not save its coverage. A worker that hangs is killed.
        self.worker.stop(_STOP_S)
        self.worker.__exit__(kind, error, trace)
        forget_results(self.client)
        self.client.close()
        if self._owns_server:
            self.server.__exit__(kind, error, trace)

    @cached_property
    def events(self) -> Events:
        """What a monitor hears of this worker from now on."""
        events = Events(self.client)
        events.start()
        return events

    def restart(self) -> None:
        """Start a new worker after the one before has ended."""
        self.worker.__exit__(None, None, None)
        self.worker = self._new_worker()
        self._start()

    def start_doomed(self) -> None:
        """Start a new worker that dies before it has done anything else."""
        self.worker.__exit__(None, None, None)
        self.worker = self._new_worker()
        self.worker.start()
        self.worker.wait_for_exit()

    def _new_worker(self) -> LocalWorker:
        config = {
            "broker_url": self.server.url,
            "result_backend": self.server.url,
            "worker_pool": self._pool,
            "worker_prefetch_multiplier": 0,
            "worker_send_task_events": True,
            "worker_cancel_long_running_tasks_on_connection_loss": True,
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": {"visibility_timeout": 3600},
            "result_expires": 600,
            "worker_redirect_stdouts": False,
            **self._config,
        }
        return LocalWorker(
            ["--without-mingle", "--without-gossip", "--heartbeat-interval=1", *self._arguments],
            {
                CONFIG_VARIABLE: json.dumps(config),
                NOTES_VARIABLE: str(self.notes_path),
                LOADING_VARIABLE: str(self.loading_path),
            },
            application="tests.worker.pool.pool_app",
        )

    def _start(self) -> None:
        self.worker.start()
        self.worker.wait_for(lambda: " ready." in self.worker.log)
        # Celery logs this before the first turn of its loop, in which stock kombu subscribes to broadcasts.
        self.worker.wait_for(lambda: bool(self.client.control.ping(timeout=5, limit=1)))
        self.worker.wait_for(lambda: self.stats()["pool"]["writes"]["inqueues"]["total"] > 0)

    def send(self, name: str = "probe", do: str = "", value: Any = None, **options: Any) -> AsyncResult:
        """Send a request; options are those of ``apply_async`` and, as ``kwargs``, further arguments."""
        kwargs = {"do": do, "value": value, **options.pop("kwargs", {})}
        return self.client.send_task(name, kwargs=kwargs, **options)

    def get(self, result: AsyncResult) -> Any:
        """A request's result."""
        return result.get(timeout=PATIENCE_S)

    def failure(self, result: AsyncResult) -> tuple[str, Any]:
        """Class name and arguments of the error with which a request has ended."""
        error = result.get(timeout=PATIENCE_S, propagate=False)
        assert isinstance(error, BaseException), error
        return type(error).__name__, error.args

    @contextmanager
    def held(self, name: str = "probe") -> Iterator[AsyncResult]:
        """Keep the one process busy until the end of the block, so that requests sent inside wait together."""
        gate = self.directory / f"gate-{next(self._gates)}"
        sent = self.send(name, do="hang", value=str(gate))
        self.worker.wait_for(Path(f"{gate}.held").exists)
        try:
            yield sent
        finally:
            gate.touch()

    def gathered(self, requests: Sequence[Mapping[str, Any]]) -> list[AsyncResult]:
        """Send requests that wait for the process together."""
        with self.held():
            sent = [self.send(**request) for request in requests]
            self.wait_until_received(sent)
        return sent

    def wait_until_received(self, sent: Sequence[AsyncResult]) -> None:
        """Wait until the worker holds all these requests."""
        self.worker.wait_for(lambda: all(f"[{result.id}] received" in self.worker.log for result in sent))

    def wait_for_events(self, events: Events, sent: Sequence[AsyncResult]) -> None:
        """Wait until the last event of each request is there."""
        self.worker.wait_for(lambda: all(LAST_EVENTS & set(events.of(result)) for result in sent))

    def stats(self) -> dict[str, Any]:
        """The reply to ``inspect stats``."""
        found: dict[str, Any] = self.inspect("stats")
        return found

    def inspect(self, what: str) -> Any:
        """The one worker's reply to an ``inspect`` command."""
        replies = getattr(self.client.control.inspect(timeout=PATIENCE_S, limit=1), what)()
        assert replies, f"no answer to inspect {what}:\n{self.worker.log}"
        return next(iter(replies.values()))

    def pids(self) -> set[int]:
        """The pool's processes."""
        return set(self.stats()["pool"]["processes"])

    def notes(self, name: str) -> list[Any]:
        """What was noted under a name, in order."""
        if not self.notes_path.exists():
            return []
        lines = self.notes_path.read_text(encoding="utf-8").splitlines()
        return [found[name] for found in map(json.loads, lines) if name in found]

    def signals_of(self, result: AsyncResult) -> list[str]:
        """The signals that were sent for a request, in order."""
        lines = self.notes_path.read_text(encoding="utf-8").splitlines()
        notes = map(json.loads, lines)
        return [found["signal"] for found in notes if found.get("id") == result.id and "signal" in found]

    def computations(self, result: AsyncResult) -> int:
        """How often a request was computed, alone or in a batch."""
        return sum(result.id in ids for ids in self.notes("computed"))

    def unacknowledged(self) -> int:
        """How many messages are not acknowledged yet."""
        with self.client.connection_for_read() as connection:
            return int(connection.default_channel.client.hlen("unacked"))
