"""Fixtures of the producer's tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.exceptions import RedisError

from examples.local_stack import PATIENCE_S, LocalServer
from producer import Client

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
