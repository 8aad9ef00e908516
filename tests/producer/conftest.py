"""Fixtures of the producer's tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest
import redis
from redis.exceptions import RedisError

from examples.local_stack import PATIENCE_S, LocalServer
from producer import Client

from .command_line import ROOT, Command, Invoke, invoker
from .helpers import StockWorker


@pytest.fixture(scope="session")
def _reused_server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started


@pytest.fixture
def own_server(_reused_server: LocalServer) -> LocalServer:
    """A server for one test, which may pause or stop it. It is restarted only if the previous test left it unusable."""
    try:
        _empty(_reused_server)
    except RedisError:
        _reused_server.stop()
        _reused_server.start()
        _empty(_reused_server)
    return _reused_server


def _empty(server: LocalServer) -> None:
    with redis.Redis.from_url(server.url, socket_timeout=10.0, retry=None) as connection:
        connection.flushall()
        connection.config_resetstat()


@pytest.fixture
def own_client(own_server: LocalServer) -> Iterator[Client]:
    """A client of the test's own server."""
    with Client(own_server.url, timeout_s=PATIENCE_S) as connected:
        yield connected


@pytest.fixture
def stock_worker(own_server: LocalServer) -> Iterator[StockWorker]:
    """A stand-in for the worker on the test's own server."""
    with StockWorker(own_server.url) as started:
        yield started


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads for callers that block."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def command(own_server: LocalServer) -> Iterator[Command]:
    """Starts the command. Processes that still run at the end of the test are killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *arguments: str | Path, url: str | None = own_server.url, stderr: int | IO[Any] = subprocess.PIPE, **more: str
    ) -> subprocess.Popen[bytes]:
        options = [] if url is None else ["--broker-url", url]
        process = subprocess.Popen(
            [sys.executable, "-m", "producer", *options, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
            env={**os.environ, **more},
        )
        started.append(process)
        return process

    # A shell has what it runs in the background ignore SIGINT. What these tests start would inherit that.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield start
    signal.signal(signal.SIGINT, previous)
    for process in started:
        process.kill()
        with process:
            pass


@pytest.fixture
def unreachable() -> Iterator[str]:
    """The URL of a port on which nobody listens or can start to listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{held.getsockname()[1]}/0"


@pytest.fixture
def invoke(own_server: LocalServer) -> Invoke:
    """Runs commands in this process, on the test's own server."""
    return invoker(own_server.url)
