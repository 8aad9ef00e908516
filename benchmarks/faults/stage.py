"""What a fault is played on: servers, and how the worker and the client reach them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import redis

from benchmarks.faults.proxy import DelayProxy
from examples.local_stack import MASTER_NAME, LocalSentinels, LocalServer, LocalWorker
from producer.contract import TaskName

__all__ = ["FAULT_S", "Stage", "StageMaker", "a_server", "apart", "on_sentinels", "one_server", "proxied", "with_user"]

#: How long a fault lasts that somebody ends.
FAULT_S = 4.0
#: How long requests gather before a server is killed.
_BACKLOG_S = 2.0
_USER, _PASSWORD = "worker", "first"


@dataclass
class Stage:
    """Servers, and who reaches them how.

    Attributes:
        server: the broker, and what is broken unless ``results`` is there.
        worker_urls: URLs of broker and result backend for the worker.
        client_urls: those for the client; the backend's is None where it is the broker.
        results: the server of the results, where it is one of its own.
        sentinels: the Sentinels, if there are any.
        proxy: the proxy, if there is one.
        worker: the worker, once it serves.
    """

    server: LocalServer
    worker_urls: tuple[str, str | None]
    client_urls: tuple[str, str | None]
    results: LocalServer | None = None
    sentinels: LocalSentinels | None = None
    proxy: DelayProxy | None = None
    worker: LocalWorker | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """The worker's settings."""
        broker, backend = self.worker_urls
        return {"CELERIAC_BROKER_URL": broker, **({"CELERIAC_RESULT_BACKEND_URL": backend} if backend else {})}

    def admin(self, server: LocalServer | None = None) -> redis.Redis:
        """A connection that no fault of a user affects."""
        return redis.Redis(port=(server or self.server).port, decode_responses=True)

    @contextmanager
    def backlog(self) -> Iterator[None]:
        """Stop the worker for a moment, and have a backlog when the block begins; the worker goes on at its end."""
        if self.worker is None:
            raise ValueError("the worker does not serve yet")
        self.worker.signal(signal.SIGSTOP)
        try:
            time.sleep(_BACKLOG_S)
            yield
        finally:
            self.worker.signal(signal.SIGCONT)

    def is_empty(self) -> bool:
        """Whether the broker has no request, waiting or in a worker's hands."""
        with self.admin(self.sentinels.master if self.sentinels else self.server) as admin:
            return not admin.exists(TaskName.TEXT_CLASSIFICATION, "unacked")

    def lasting(self, begin: Callable[[redis.Redis], object], end: Callable[[redis.Redis], object]) -> float:
        """Begin a fault, end it after :data:`FAULT_S`, and return when it ended."""
        with self.admin(self.results) as admin:
            begin(admin)
            time.sleep(FAULT_S)
            end(admin)
        return time.monotonic()


StageMaker = Callable[[ExitStack], Stage]


def one_server(**config: str) -> StageMaker:
    """A server for everything.

    Args:
        config: directives of its configuration, with ``_`` for ``-``.
    """

    def make(stack: ExitStack) -> Stage:
        server = stack.enter_context(LocalServer({name.replace("_", "-"): value for name, value in config.items()}))
        return Stage(server, (server.url, None), (server.url, None))

    return make


def a_server(stack: ExitStack) -> Stage:
    """A server for everything, as the tests have it."""
    return one_server()(stack)


def apart(stack: ExitStack) -> Stage:
    """A server for the requests and one for the results."""
    server, results = (stack.enter_context(LocalServer()) for _ in range(2))
    return Stage(server, (server.url, results.url), (server.url, results.url), results=results)


def proxied(stack: ExitStack) -> Stage:
    """A server behind a proxy."""
    server = stack.enter_context(LocalServer())
    proxy = stack.enter_context(DelayProxy(server.port))
    url = f"redis://127.0.0.1:{proxy.port}/0"
    return Stage(server, (url, None), (url, None), proxy=proxy)


def with_user(stack: ExitStack) -> Stage:
    """A server on which worker and client are a user with a password."""
    server = stack.enter_context(LocalServer())
    stage = Stage(server, (_as_user(server), None), (_as_user(server), None))
    with stage.admin() as admin:
        admin.execute_command("ACL", "SETUSER", _USER, "on", f">{_PASSWORD}", "~*", "&*", "+@all")
    return stage


def on_sentinels(stack: ExitStack) -> Stage:
    """A master and a replica with three Sentinels."""
    sentinels = stack.enter_context(LocalSentinels())
    url = f"sentinel://{sentinels.addresses}/0?master_name={MASTER_NAME}"
    return Stage(sentinels.servers[0], (url, None), (url, None), sentinels=sentinels)


def _as_user(server: LocalServer) -> str:
    return f"redis://{_USER}:{_PASSWORD}@127.0.0.1:{server.port}/0"
